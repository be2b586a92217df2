package store

import (
	"context"
	"encoding/json"
)

// Replica is what one of the replicas that share the store tells the others of itself.
type Replica struct {
	// ID is of one process: another start has another one.
	ID string
	// Beat is another number each time that it has told. Whether it runs is seen by that,
	// and not by anybody's clock.
	Beat int64
	Said json.RawMessage
}

func (r *Replica) columns() columns {
	return columns{{"id", &r.ID}, {"beat", &r.Beat}, {"said", document{&r.Said}}}
}

// PutReplica tells the others, whoever leads. It is no change that they have to read.
func (s *SQL) PutReplica(ctx context.Context, id string, said json.RawMessage) error {
	_, err := s.exec(ctx, `INSERT INTO replica (id, beat, said) VALUES ($1, 1, $2)
		ON CONFLICT (id) DO UPDATE SET beat = replica.beat + 1, said = excluded.said`, id, string(said))
	return writing("what this replica tells", err)
}

// Replicas lists what all have told last, those that run no more too.
func (s *SQL) Replicas(ctx context.Context) ([]Replica, error) {
	all, err := list(ctx, s, (*Replica).columns, `FROM replica ORDER BY id`)
	return all, reading("what replicas tell", err)
}

// DeleteReplica forgets what one has told. One that runs tells it again.
func (s *SQL) DeleteReplica(ctx context.Context, id string) error {
	_, err := s.exec(ctx, `DELETE FROM replica WHERE id = $1`, id)
	return writing("that a replica is gone", err)
}

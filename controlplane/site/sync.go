package site

import (
	"fmt"
	"time"
)

// Sync is how "umagate serve" keeps the resources at the AS as they are declared.
type Sync struct {
	// How often the AS is looked at for what somebody changed there. Default 5m.
	Interval time.Duration `yaml:"interval"`
	// How many resources are deleted at once without being asked; more than that,
	// and none is, until "umagate apply" is told to. Deleting a resource takes the
	// policies on it away for good. Default 3; 0 deletes none.
	MaxDeletions int `yaml:"max_deletions"`
	// How many calls to the AS are under way at a time. Default 4.
	Concurrency int `yaml:"concurrency"`
}

func (v *validator) sync(path string, s Sync) {
	const soonest, latest, most = 10 * time.Second, 24 * time.Hour, 64
	if s.Interval < soonest || s.Interval > latest {
		v.fault(path+".interval", s.Interval.String()+" is out of range", "write a duration from 10s to 24h, such as 5m")
	}
	if s.MaxDeletions < 0 {
		v.fault(path+".max_deletions", fmt.Sprintf("%d is out of range", s.MaxDeletions), "write 0 for none, or how many at once")
	}
	if s.Concurrency < 1 || s.Concurrency > most {
		v.fault(path+".concurrency", fmt.Sprintf("%d is out of range", s.Concurrency), "write a number from 1 to 64")
	}
}

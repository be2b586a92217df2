-- +goose Up
-- The one row is written in the transaction of every other write. number tells
-- readers that something is new; epoch counts leaders, and the writes of one that
-- was replaced are refused by it.
CREATE TABLE change (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    number BIGINT  NOT NULL,
    epoch  BIGINT  NOT NULL
);
INSERT INTO change (one, number, epoch) VALUES (1, 0, 0);

-- +goose Down
DROP TABLE change;

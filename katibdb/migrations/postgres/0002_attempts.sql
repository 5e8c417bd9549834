-- +goose Up

-- A row for each message that a process has begun to handle apart, because it was delivered often, and has not told the
-- end of: how many did so. A message that ends processes is recognised by it.
CREATE TABLE stream_attempts (
    epoch    VARCHAR(64) COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    unended  BIGINT NOT NULL,
    PRIMARY KEY (epoch, sequence)
);

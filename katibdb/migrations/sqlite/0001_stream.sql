-- +goose Up

-- A row for each trial: the lock under which its messages are persisted, the namespace that it is bound to, and what its
-- deletion settled. seen_at is seconds since 1970, deleted_at milliseconds.
CREATE TABLE stream_trials (
    trial_name       TEXT NOT NULL PRIMARY KEY,
    namespace        TEXT NOT NULL DEFAULT '',
    seen_at          BIGINT NOT NULL DEFAULT 0,
    deleted_at       BIGINT NOT NULL DEFAULT 0,
    deleted_epoch    TEXT NOT NULL DEFAULT '',
    deleted_sequence BIGINT NOT NULL DEFAULT 0,
    purge_pending    BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE INDEX stream_trials_purge ON stream_trials (purge_pending);

-- A row for each producer: everything up to its watermark is persisted.
CREATE TABLE stream_producers (
    trial_name   TEXT NOT NULL,
    namespace    TEXT NOT NULL,
    producer     TEXT NOT NULL,
    watermark    BIGINT NOT NULL DEFAULT 0,
    receipts     BIGINT NOT NULL DEFAULT 0,
    final_number BIGINT NOT NULL DEFAULT 0,
    messages     BIGINT NOT NULL DEFAULT 0,
    events       BIGINT NOT NULL DEFAULT 0,
    dead         BIGINT NOT NULL DEFAULT 0,
    deleted      BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (trial_name, namespace, producer)
);

-- A row for what no watermark says: a message persisted out of order, a dead letter, a message without a number.
CREATE TABLE stream_receipts (
    trial_name TEXT NOT NULL,
    namespace  TEXT NOT NULL,
    source     TEXT NOT NULL,
    number     BIGINT NOT NULL,
    dead       BOOLEAN NOT NULL DEFAULT FALSE,
    epoch      TEXT NOT NULL,
    sequence   BIGINT NOT NULL,
    PRIMARY KEY (trial_name, namespace, source, number)
);

-- For forgetting the receipts of messages that have left the stream.
CREATE INDEX stream_receipts_sequence ON stream_receipts (epoch, sequence);

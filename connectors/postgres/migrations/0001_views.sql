-- The views that projections keep, and how far each projection has come. Everything here can be
-- dropped and rebuilt from the topics.

-- ---- how far the projections have come -----------------------------------------------------------

-- One row per projection and partition it reads; moved in the transaction that writes the rows, so
-- it is the truth, and the consumer group's offset in Kafka a hint. A generation is one rebuild.
CREATE TABLE projection_positions (
  projection text NOT NULL,
  generation integer NOT NULL,
  topic text NOT NULL,
  partition integer NOT NULL,
  next_offset bigint NOT NULL CHECK (next_offset >= 0),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (projection, generation, topic, partition)
) WITH (fillfactor = 25);  -- updated with every commit: room for the new version on the same page

-- Moves positions from where the caller believes they are; all, or SQLSTATE VT001 and none.
CREATE FUNCTION advance_positions(of_projection text, of_generation integer, topics text[],
                                  partitions integer[], from_offsets bigint[], to_offsets bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  moved bigint;
  begun bigint := 0;
BEGIN
  UPDATE voketag.projection_positions AS recorded
     SET next_offset = advance.to_offset, updated_at = now()
    FROM unnest(topics, partitions, from_offsets, to_offsets)
         AS advance (topic, partition, from_offset, to_offset)
   WHERE recorded.projection = of_projection AND recorded.generation = of_generation
     AND recorded.topic = advance.topic AND recorded.partition = advance.partition
     AND recorded.next_offset = advance.from_offset;
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved < cardinality(topics) THEN
    INSERT INTO voketag.projection_positions (projection, generation, topic, partition, next_offset)
    SELECT of_projection, of_generation, advance.topic, advance.partition, advance.to_offset
      FROM unnest(topics, partitions, from_offsets, to_offsets)
           AS advance (topic, partition, from_offset, to_offset)
     WHERE advance.from_offset = 0
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS begun = ROW_COUNT;
  END IF;
  IF moved + begun <> cardinality(topics) THEN
    RAISE EXCEPTION 'another projector has moved the positions of %', of_projection
      USING ERRCODE = 'VT001';
  END IF;
END
$$;

-- ---- batches -------------------------------------------------------------------------------------

-- A value that stands later in the list wins over one that stands before it.
CREATE TYPE batch_status AS ENUM
  ('requested', 'generating', 'anchoring', 'anchor_failed', 'completed', 'failed');

-- Gathered from several topics whose events may arrive in any order: any column but the key may be
-- unknown for a while.
CREATE TABLE batches (
  batch_id uuid PRIMARY KEY,
  tenant text,
  status batch_status,
  product_count bigint,
  merkle_root text,
  transaction_id text,
  job_id uuid,
  error text,
  requested_at timestamptz,
  completed_at timestamptz,
  network text,
  first_serial bigint,
  sku text,
  gtin text,
  lot text,
  name text,
  metadata text,
  callback_url text,
  key_id bigint,
  chunk_size bigint
) WITH (fillfactor = 70);  -- each row is merged four to five times

CREATE INDEX batches_requested_at ON batches (requested_at);

-- ---- products ------------------------------------------------------------------------------------

CREATE TYPE product_status AS ENUM ('active', 'suspended', 'recalled', 'revoked');

-- One row per token. The ids of a batch lie together and rise with the serial, so the primary key's
-- index is filled at few places at a time. No unique index on the token: it contains the id, which
-- decides, and a random key would cost four times the rest of the insert.
CREATE TABLE products (
  product_id uuid PRIMARY KEY,
  batch_id uuid NOT NULL,
  serial bigint NOT NULL,
  token text NOT NULL,
  status product_status NOT NULL
) WITH (
  fillfactor = 100,  -- written once, rarely changed: full pages are fewer pages
  -- Nothing dies here, so vacuum only freezes and marks pages as visible to all. Every fifth of the
  -- table, as is the default, would make it read all of that during each large load.
  autovacuum_vacuum_insert_threshold = 5000000,
  autovacuum_vacuum_insert_scale_factor = 0.5,
  autovacuum_analyze_threshold = 500000
);

-- ---- anchors -------------------------------------------------------------------------------------

CREATE TYPE anchor_status AS ENUM ('pending', 'processing', 'failed', 'completed');

CREATE TABLE anchors (
  anchor_id uuid PRIMARY KEY,
  batch_id uuid UNIQUE,
  merkle_root text,
  product_count bigint,
  status anchor_status,
  transaction_id text,
  leaf_index bigint,
  block_number bigint,
  gas_used bigint,
  gas_price_gwei numeric,
  network text,
  error text,
  retry_count bigint,
  created_at timestamptz,
  updated_at timestamptz,
  anchored_at timestamptz,
  chain_id bigint,
  block_hash text,
  revision bigint,
  next_retry_at timestamptz,
  aggregate_root text,
  tree_size bigint,
  aggregate_path text,
  UNIQUE (transaction_id, leaf_index)  -- also finds all anchors of a transaction
) WITH (fillfactor = 70);

CREATE INDEX anchors_status_created_at ON anchors (status, created_at);  -- also finds by status

-- One row per signed transaction, shared by the anchors whose roots it carries.
CREATE TABLE anchor_transactions (
  transaction_id text PRIMARY KEY,
  network text,
  chain_id bigint,
  nonce bigint,
  raw_transaction text,
  aggregate_root text,
  tree_size bigint,
  submitted_at timestamptz
);

-- ---- Merkle --------------------------------------------------------------------------------------

CREATE TABLE merkle_subtrees (
  batch_id uuid NOT NULL,
  chunk_index bigint NOT NULL,
  root text NOT NULL,
  PRIMARY KEY (batch_id, chunk_index)
);

-- Generations: a view can be built anew beside the one that is read, and take its place. See
-- docs/decisions/0012-replay-of-views.md.

-- One row per rebuild of a projection's views. The generation that stands under the views' own
-- names is 'live'; no such row: it is the first. The tables of another one are named with the
-- suffix _g<generation>.
CREATE TABLE projection_generations (
  projection text NOT NULL,
  generation integer NOT NULL CHECK (generation > 0),
  state text NOT NULL CHECK (state IN ('building', 'live', 'retired', 'dropped')),
  phase text NOT NULL DEFAULT 'loading' CHECK (phase IN ('loading', 'indexing', 'built')),
  started_from text NOT NULL DEFAULT 'beginning',
  is_partial boolean NOT NULL DEFAULT false,  -- begun behind the first record of a topic
  wish text CHECK (wish IN ('pause', 'abort')),  -- what somebody asks of the process that builds it
  is_kept boolean NOT NULL DEFAULT false,  -- a retired one whose tables are not to be dropped
  program text NOT NULL DEFAULT '',
  begun_at timestamptz NOT NULL DEFAULT now(),
  changed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (projection, generation)
);
CREATE UNIQUE INDEX projection_generations_live ON projection_generations (projection)
  WHERE state = 'live';
CREATE UNIQUE INDEX projection_generations_building ON projection_generations (projection)
  WHERE state = 'building';

-- Where a generation began to read; behind 0 it lacks the rows of what came before.
ALTER TABLE projection_positions ADD COLUMN first_offset bigint NOT NULL DEFAULT 0;

-- Records and rows that a replay left out. It writes no dead letters.
CREATE TABLE replay_rejects (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  projection text NOT NULL,
  generation integer NOT NULL,
  topic text,  -- null: a row that stands in the view already, whose record is not known
  partition integer,
  record_offset bigint,
  reason text NOT NULL,
  detail text NOT NULL,
  UNIQUE (projection, generation, topic, partition, record_offset)
);

-- The generation that projectors write.
CREATE FUNCTION live_generation(of_projection text) RETURNS integer LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT generation FROM voketag.projection_generations
                    WHERE projection = of_projection AND state = 'live'), 1)
$$;

-- As before, and: only of a generation that is live or being built. Its state is asked for after
-- the positions are locked: who swaps generations locks them before, so this sees what he did.
CREATE OR REPLACE FUNCTION advance_positions(of_projection text, of_generation integer,
                                             topics text[], partitions integer[],
                                             from_offsets bigint[], to_offsets bigint[])
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
  IF of_generation <> voketag.live_generation(of_projection) AND NOT EXISTS (
       SELECT FROM voketag.projection_generations
        WHERE projection = of_projection AND generation = of_generation AND state = 'building') THEN
    RAISE EXCEPTION 'generation % of % is no longer written', of_generation, of_projection
      USING ERRCODE = 'VT001';
  END IF;
  IF moved + begun <> cardinality(topics) THEN
    RAISE EXCEPTION 'another projector has moved the positions of %', of_projection
      USING ERRCODE = 'VT001';
  END IF;
END
$$;

-- How far the event that gave a batch's status and error is in the batch's life; a later one
-- replaces both. See processors/views/batches_projection.h.
ALTER TABLE batches ADD COLUMN progress bigint;

-- Batches that have ended stay as they are, and show no error when they ended well.
UPDATE batches
   SET progress = (1::bigint << 62) + CASE status WHEN 'failed' THEN 1 ELSE 0 END,
       error = CASE status WHEN 'failed' THEN error END
 WHERE status IN ('completed', 'failed');
UPDATE anchors SET error = NULL, next_retry_at = NULL WHERE status = 'completed';

-- `payload_bytes` is told from the lengths (step 9) and no more stored.
ALTER TABLE slices DROP COLUMN IF EXISTS payload_bytes SETTINGS mutations_sync = 2;

ALTER TABLE slices ADD COLUMN IF NOT EXISTS payload_bytes Array(UInt32)
    ALIAS arrayMap((wire, overhead) -> toUInt32(wire - overhead), wire_bytes, overhead_bytes) AFTER overhead_bytes;

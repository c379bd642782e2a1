-- The end of a LIVE sale that was not over was moved to now or into the past, by an operator who ended it or by SQL. Up to 5 s ahead is now,
-- as in the ledger on PostgreSQL, whose clock is not the gate's.
CREATE TRIGGER flash_sales_update_notes_ended AFTER UPDATE OF end_time ON flash_sales
WHEN OLD.state = 'LIVE' AND NEW.state = 'LIVE' AND NEW.end_time < OLD.end_time
    AND OLD.end_time > CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
    AND NEW.end_time <= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) + 5000
BEGIN
    UPDATE flash_sales SET event_seq = event_seq + 1 WHERE id = NEW.id;
    INSERT INTO event_batches (flash_sale_id, last_seq, type, product_id, terms)
    SELECT NEW.id, s.event_seq, 'sale.ended', NEW.product_id, json_object('state', NEW.state, 'paused_at', NEW.paused_at,
        'start_time', NEW.start_time, 'end_time', NEW.end_time, 'initial_stock', NEW.initial_stock,
        'remaining_stock', NEW.remaining_stock, 'version', max(s.version, OLD.version + 1))
    FROM event_recording, flash_sales s WHERE s.id = NEW.id;
END;

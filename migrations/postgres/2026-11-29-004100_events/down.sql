LOCK TABLE flash_sales, orders IN ACCESS EXCLUSIVE MODE;
DROP TRIGGER flash_sales_insert_notes_event ON flash_sales;
DROP TRIGGER flash_sales_insert_begins_events ON flash_sales;
DROP TRIGGER flash_sales_writes_events ON flash_sales;
DROP FUNCTION flash_sales_note_inserted();
DROP FUNCTION flash_sales_begin_events();
DROP FUNCTION flash_sales_write_events();
DROP FUNCTION flash_sales_note_event(TEXT, flash_sales);
CREATE OR REPLACE FUNCTION orders_take_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock - taken.units, updated_at = now()
    FROM (SELECT flash_sale_id, count(*) AS units FROM new_orders WHERE status = 'SUCCESS' GROUP BY flash_sale_id) taken
    WHERE flash_sales.id = taken.flash_sale_id;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION orders_give_back_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock + given.units, updated_at = now()
    FROM (SELECT flash_sale_id, count(*) AS units FROM old_orders WHERE status = 'SUCCESS' GROUP BY flash_sale_id) given
    WHERE flash_sales.id = given.flash_sale_id;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION orders_move_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock - moved.units, updated_at = now()
    FROM (
        SELECT flash_sale_id, sum(units) AS units FROM (
            SELECT flash_sale_id, 1 AS units FROM new_orders WHERE status = 'SUCCESS'
            UNION ALL
            SELECT flash_sale_id, -1 FROM old_orders WHERE status = 'SUCCESS'
        ) both_sides GROUP BY flash_sale_id HAVING sum(units) <> 0
    ) moved
    WHERE flash_sales.id = moved.flash_sale_id;
    RETURN NULL;
END $$;
ALTER TRIGGER orders_update_notes_ended ON orders RENAME TO orders_update_is_noted;
DROP FUNCTION flash_sales_note_orders(TEXT, BIGINT, BOOLEAN, UUID[], UUID[], BIGINT[]);
DROP TABLE event_positions;
DROP TABLE event_batches;
DROP TABLE event_recording;
ALTER TABLE flash_sales DROP COLUMN event_seq;

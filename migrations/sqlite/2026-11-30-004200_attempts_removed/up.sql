-- Until when the attempts of a sale were removed (`flashsale attempts remove`): its end at that time. A record of such an attempt that
-- is read once more gets no order. NULL: the attempts are there.
ALTER TABLE flash_sales ADD COLUMN attempts_removed_until INTEGER;

-- NO_ACCOUNT: the account of the attempt does not exist. Not validated: every word that was allowed before is still allowed,
-- and reading all attempts would keep settling waiting.
ALTER TABLE purchase_attempts
    DROP CONSTRAINT purchase_attempts_outcome_check,
    ADD CONSTRAINT purchase_attempts_outcome_check
        CHECK (outcome IN ('ORDERED', 'SOLD_OUT', 'ALREADY_ORDERED', 'NO_ACCOUNT', 'REJECTED')) NOT VALID;

-- Accounts of the original service keep their names, which had no limit; registration still gives 50 characters. The table is
-- not written anew, but the index on lower(username) is: about a second for each million accounts.
ALTER TABLE users ALTER COLUMN username TYPE VARCHAR(255);

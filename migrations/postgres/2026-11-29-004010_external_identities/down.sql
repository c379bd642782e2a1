-- Accounts stay, and their tokens with them, but no subject leads to them any more.
DROP TABLE external_identities;

DROP TABLE results;
DROP TABLE purchase_attempts;
DROP TABLE dead_letters;
DROP TABLE attempt_log;

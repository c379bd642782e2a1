DROP TABLE dead_letter_decisions;

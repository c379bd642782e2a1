DROP TABLE consumer_members;
DROP TABLE consumer_partitions;

DROP TABLE admin_actions_head;
DROP TABLE admin_actions;

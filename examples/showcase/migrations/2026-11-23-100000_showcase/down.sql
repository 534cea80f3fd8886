DROP TABLE reports;
DROP TABLE items;
DROP TABLE users;

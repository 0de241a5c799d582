-- The tables of the example, for SQLite and PostgreSQL. `make run` creates them with this file; running it again changes
-- nothing. SQLite follows the foreign key only with PRAGMA foreign_keys = ON, which Clacks sets on its connections.

CREATE TABLE IF NOT EXISTS employees (
    login        VARCHAR(64) NOT NULL PRIMARY KEY,
    badge_number VARCHAR(16) UNIQUE,
    cost_center  BIGINT
);

-- One row a telephone. When a login changes, its telephones follow; when an employee goes, they go too.
CREATE TABLE IF NOT EXISTS phones (
    employee VARCHAR(64) NOT NULL REFERENCES employees (login) ON UPDATE CASCADE ON DELETE CASCADE,
    number   VARCHAR(64) NOT NULL,
    PRIMARY KEY (employee, number)
);

CREATE TABLE tenants (
    id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    tenant TEXT PRIMARY KEY,
    node TEXT NOT NULL,
    fencing INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `version` is ahead of the body's after somebody was enrolled.
CREATE TABLE campaigns (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    status TEXT NOT NULL,
    search_name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    is_deleted INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX campaigns_newest ON campaigns (tenant, created_at, id) WHERE is_deleted = 0;
CREATE INDEX campaigns_active ON campaigns (tenant, started_at, id)
    WHERE status = 'active' AND is_deleted = 0;
CREATE INDEX campaigns_scheduled ON campaigns (tenant, created_at, id)
    WHERE status = 'scheduled' AND is_deleted = 0;

-- Where anybody was when they were enrolled.
CREATE TABLE campaign_places (
    tenant TEXT NOT NULL,
    campaign TEXT NOT NULL,
    place TEXT NOT NULL,
    PRIMARY KEY (tenant, campaign, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE contacts (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    phone TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (tenant, phone)
) STRICT;

-- `subject` is the one text that a person is found by. A lifted entry stays, so that it can be shown
-- what was known when; `lift` says who lifted it.
CREATE TABLE suppressions (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    scope TEXT NOT NULL,
    search_text TEXT NOT NULL,
    added_at INTEGER NOT NULL,
    lift TEXT,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX suppressions_in_force ON suppressions (tenant, subject, scope)
    WHERE lift IS NULL;
CREATE INDEX suppressions_newest ON suppressions (tenant, added_at, id);

CREATE TABLE tenant_rules (
    tenant TEXT PRIMARY KEY,
    salt TEXT,
    holidays TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE register_copies (
    tenant TEXT NOT NULL,
    register TEXT NOT NULL,
    taken_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, register)
) STRICT, WITHOUT ROWID;

CREATE TABLE web_tools (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- `position` is the order of adding. `ready_at` is when a waiting enrollment may be claimed: its
-- due time, or, while `is_claimed`, the end of its claim. `version` is ahead of the body's after a
-- claim.
CREATE TABLE enrollments (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    campaign TEXT NOT NULL,
    contact TEXT NOT NULL,
    phone TEXT NOT NULL,
    place TEXT NOT NULL,
    state TEXT NOT NULL,
    bucket TEXT NOT NULL,
    held_by TEXT,
    by_rule TEXT,
    ready_at INTEGER,
    is_claimed INTEGER NOT NULL DEFAULT 0,
    check_at INTEGER,
    n_attempts INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (campaign, phone)
) STRICT;
CREATE INDEX enrollments_added ON enrollments (campaign);
CREATE INDEX enrollments_by_state ON enrollments (campaign, state);
CREATE INDEX enrollments_ready ON enrollments (campaign, ready_at) WHERE state = 'waiting';
-- What comes after `position` is there for counting those that wait without reading them.
CREATE INDEX enrollments_by_place
    ON enrollments (campaign, place, ready_at, position, bucket, held_by, state)
    WHERE state = 'waiting';
CREATE INDEX enrollments_by_rule ON enrollments (campaign, by_rule) WHERE by_rule IS NOT NULL;
-- A person is in one call at most, over all campaigns.
CREATE UNIQUE INDEX enrollments_open ON enrollments (tenant, contact) WHERE state = 'open';
CREATE INDEX enrollments_claimed ON enrollments (tenant, contact, ready_at) WHERE is_claimed = 1;
CREATE INDEX enrollments_overdue ON enrollments (tenant, check_at) WHERE state = 'open';

-- From `is_answered` on there is what an ended call counts for, and null in any other. `price_ask_at` is
-- when the carrier is to be asked for the price, `recorded_at` since when it keeps a recording.
CREATE TABLE calls (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    campaign TEXT NOT NULL,
    enrollment TEXT NOT NULL,
    to_phone TEXT NOT NULL,
    from_phone TEXT NOT NULL,
    sid TEXT,
    conversation TEXT,
    state TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    outcome TEXT,
    dial_at INTEGER NOT NULL,
    is_answered INTEGER,
    is_abandoned INTEGER,
    is_silent INTEGER,
    billed_minutes INTEGER,
    price_ask_at INTEGER,
    recorded_at INTEGER,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX calls_latest ON calls (tenant, dial_at, id);
CREATE INDEX calls_of_campaign ON calls (campaign, dial_at, id);
CREATE INDEX calls_of_enrollment ON calls (enrollment, dial_at, id);
CREATE INDEX calls_open ON calls (tenant, dial_at, id) WHERE is_open = 1;
CREATE INDEX calls_to_person ON calls (tenant, to_phone, dial_at, id);
CREATE INDEX calls_by_caller ON calls (tenant, dial_at, from_phone, state)
    WHERE state <> 'released';
CREATE INDEX calls_counted
    ON calls (tenant, campaign, dial_at, is_answered, is_abandoned, is_silent, billed_minutes)
    WHERE billed_minutes IS NOT NULL;
CREATE INDEX calls_by_sid ON calls (tenant, sid) WHERE sid IS NOT NULL;
CREATE INDEX calls_unpriced ON calls (tenant, price_ask_at) WHERE price_ask_at IS NOT NULL;
CREATE INDEX calls_recorded ON calls (campaign, recorded_at) WHERE recorded_at IS NOT NULL;
CREATE INDEX calls_by_conversation ON calls (tenant, conversation) WHERE conversation IS NOT NULL;

-- The figures of `progress`, kept with every change so that none is ever counted again.
CREATE TABLE totals (
    tenant TEXT NOT NULL,
    campaign TEXT NOT NULL,
    bucket TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (tenant, campaign, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
    tenant TEXT NOT NULL,
    campaign TEXT NOT NULL,
    n_open INTEGER NOT NULL,
    last_start INTEGER NOT NULL,
    PRIMARY KEY (tenant, campaign)
) STRICT, WITHOUT ROWID;

CREATE TABLE logs (
    campaign TEXT PRIMARY KEY,
    last_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `position` is the order of all campaigns together; watching goes by it.
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    campaign TEXT NOT NULL,
    seq INTEGER NOT NULL,
    attempt TEXT,
    body TEXT NOT NULL,
    UNIQUE (campaign, seq)
) STRICT;
CREATE INDEX events_of_attempt ON events (attempt, seq) WHERE attempt IS NOT NULL;

CREATE TABLE inbox (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    settled_at INTEGER,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT;
CREATE INDEX inbox_unsettled ON inbox (tenant, received_at) WHERE settled_at IS NULL;
CREATE INDEX inbox_settled ON inbox (tenant, received_at) WHERE settled_at IS NOT NULL;

CREATE TABLE imports (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE rejected_rows (
    tenant TEXT NOT NULL,
    import TEXT NOT NULL,
    line INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, import, line)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- What is kept about the installation as a whole, under its name.
CREATE TABLE installation (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row that a readiness check writes.
CREATE TABLE pulse (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    n INTEGER NOT NULL
) STRICT;
INSERT INTO pulse VALUES (1, 0);

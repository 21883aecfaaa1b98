-- What the migrations make of an empty SQLite database. Written by test/drivers/sqlite.test.ts, to be read.

CREATE TABLE account_changes (
  change_id integer primary key autoincrement,
  at_ms bigint not null,
  change text not null,
  name text not null,
  dead_token_id text
);

CREATE INDEX account_changes_by_time on account_changes (at_ms);

CREATE TABLE accounts (
  account_id integer primary key autoincrement,
  name text not null unique,
  token_id text not null unique,
  token_hash text not null,
  created_at_ms bigint not null,
  open_transfers bigint default 0 not null,
  open_bytes bigint default 0 not null,
  revoked_at_ms bigint,
  revocation_due integer default 0 not null,
  keys text,
  is_operator integer default 0 not null,
  owner_id integer,
  request_id text,
  expires_at_ms bigint,
  guest_state text,
  guest_transfers integer default 0 not null,
  guest_bytes bigint default 0 not null
);

CREATE INDEX accounts_of_people on accounts (name) where owner_id is null;

CREATE INDEX accounts_to_settle on accounts (revoked_at_ms) where revocation_due = 1;

CREATE INDEX guests_active on accounts (owner_id) where owner_id is not null and revoked_at_ms is null;

CREATE INDEX guests_cleared on accounts (account_id) where guest_state = 'cleared';

CREATE INDEX guests_made on accounts (owner_id, created_at_ms) where owner_id is not null and request_id is null;

CREATE INDEX guests_of_request on accounts (request_id) where request_id is not null;

CREATE INDEX guests_open on accounts (owner_id) where guest_state in ('fresh', 'open');

CREATE INDEX guests_to_clear on accounts (created_at_ms) where guest_state = 'ended' and guest_transfers = 0 and revocation_due = 0;

CREATE INDEX guests_to_expire on accounts (expires_at_ms) where owner_id is not null and revoked_at_ms is null;

CREATE TABLE address (
  id integer primary key check (id = 1),
  url text not null
);

CREATE TABLE audit_log (
  id integer primary key check (id = 1),
  change_id integer not null
);

CREATE TABLE clock (
  id integer primary key check (id = 1),
  at_ms bigint not null,
  uncounted_ms bigint not null
);

CREATE TABLE contents (
  transfer_id text primary key references transfers (transfer_id) on delete cascade,
  digest text not null,
  content blob not null
);

CREATE TABLE deliveries (
  transfer_id text not null references transfers (transfer_id) on delete cascade,
  receiver_id integer not null references accounts (account_id),
  receiver text not null,
  state text not null,
  offers integer not null,
  resends integer not null,
  fetched_bytes bigint not null,
  offer_at_ms bigint not null,
  lease_id text,
  instance_id text,
  lease_expires_at_ms bigint,
  problem text,
  offered_at_ms bigint,
  ended_at_ms bigint,
  size_known integer default 1 not null,
  constraint deliveries_key primary key (transfer_id, receiver_id)
);

CREATE INDEX deliveries_by_lease on deliveries (lease_expires_at_ms) where state = 'offered';

CREATE INDEX deliveries_offered on deliveries (receiver_id, instance_id) where state = 'offered';

CREATE INDEX deliveries_received on deliveries (receiver_id, transfer_id) where state <> 'failed' or offers > 0;

CREATE INDEX deliveries_waiting on deliveries (receiver_id, size_known, offer_at_ms) where state = 'waiting'
  ;

CREATE TABLE duties (
  duty text not null primary key,
  portal_id text not null,
  expires_at_ms bigint not null
);

CREATE TABLE events (
  event_id integer primary key autoincrement,
  account_id integer not null references accounts (account_id),
  transfer_id text not null references transfers (transfer_id) on delete cascade,
  at_ms bigint not null,
  attempt integer not null,
  notification text not null,
  receiver text,
  problem text,
  wanted text,
  receipt text
);

CREATE INDEX events_by_account on events (account_id, event_id);

CREATE INDEX events_by_transfer on events (transfer_id, event_id);

CREATE INDEX events_with_problem on events (at_ms) where problem is not null;

CREATE TABLE file_requests (
  request_id text not null primary key,
  owner_id integer not null references accounts (account_id),
  secret_hash text not null unique,
  label text,
  created_at_ms bigint not null,
  ends_at_ms bigint not null,
  is_closed integer default 0 not null,
  uploads_due integer default 1 not null,
  files_max integer not null,
  bytes_max bigint not null,
  guests integer default 0 not null,
  files integer default 0 not null,
  bytes bigint default 0 not null
);

CREATE INDEX file_requests_made on file_requests (owner_id, created_at_ms);

CREATE INDEX file_requests_of_owner on file_requests (owner_id, request_id);

CREATE INDEX file_requests_open on file_requests (owner_id, ends_at_ms);

CREATE INDEX file_requests_to_forget on file_requests (ends_at_ms) where uploads_due = 0;

CREATE INDEX file_requests_to_settle on file_requests (ends_at_ms) where uploads_due = 1;

CREATE TABLE invites (
  secret_hash text not null primary key,
  name text not null,
  expires_at_ms bigint not null,
  token_id text,
  account_id integer references accounts (account_id),
  is_operator integer default 0 not null
);

CREATE INDEX invites_by_expiry on invites (expires_at_ms);

CREATE INDEX invites_open on invites (name, expires_at_ms) where token_id is null;

CREATE TABLE minutes (
  at_ms bigint not null,
  portal_id text not null,
  stored_bytes bigint not null,
  delivered_bytes bigint not null,
  stored_count integer not null,
  delivered_count integer not null,
  constraint minutes_key primary key (at_ms, portal_id)
);

CREATE TABLE pairing (
  id integer primary key check (id = 1),
  ledger_id text not null,
  store_id text
);

CREATE TABLE portals (
  portal_id text not null primary key,
  node text not null,
  since_ms bigint not null,
  seen_ms bigint not null,
  receiver_count integer not null,
  receivers text not null
);

CREATE INDEX portals_by_sight on portals (seen_ms);

CREATE TABLE totals (
  id integer primary key check (id = 1),
  open_transfers bigint not null,
  open_bytes bigint not null,
  ended bigint default 0 not null,
  refused bigint default 0 not null,
  cancelled bigint default 0 not null,
  expired bigint default 0 not null,
  open_deliveries bigint default 0 not null,
  delivered bigint default 0 not null,
  failed bigint default 0 not null,
  accounts bigint default 0 not null
);

CREATE TABLE transfers (
  transfer_id text not null primary key,
  sender_id integer not null references accounts (account_id),
  sender text not null,
  state text not null,
  attempt integer not null,
  announcement text not null,
  metadata text not null,
  size_bytes bigint not null,
  part_size_bytes bigint not null,
  digest_algorithm text not null,
  manifest_digest text,
  problem text,
  created_at_ms bigint not null,
  expires_at_ms bigint not null,
  upload_deadline_ms bigint,
  open_deliveries integer not null,
  ended_at_ms bigint,
  parts_held integer not null,
  manifest text,
  held_in_ledger integer default 0 not null,
  one_request integer default 0 not null,
  generation text default '' not null,
  stored_at_ms bigint,
  size_known integer default 1 not null,
  guest_owner_id integer,
  tail_bytes integer default 0 not null
);

CREATE INDEX transfers_by_end on transfers (ended_at_ms) where parts_held = 0 and ended_at_ms is not null;

CREATE INDEX transfers_by_expiry on transfers (expires_at_ms) where state in ('receiving', 'stored');

CREATE INDEX transfers_by_sender on transfers (sender_id, transfer_id);

CREATE INDEX transfers_by_upload_deadline on transfers (upload_deadline_ms) where state = 'receiving';

CREATE INDEX transfers_receiving on transfers (sender_id) where state = 'receiving';

CREATE INDEX transfers_resumable on transfers (sender_id) where state = 'receiving' and one_request = 2
  ;

CREATE INDEX transfers_to_remove on transfers (ended_at_ms) where parts_held = 1 and ended_at_ms is not null;

CREATE TABLE upload_parts (
  transfer_id text not null references uploads (transfer_id) on delete cascade,
  part_number integer not null,
  digest text not null,
  constraint upload_parts_pk primary key (transfer_id, part_number)
);

CREATE TABLE uploads (
  transfer_id text not null primary key references transfers (transfer_id) on delete cascade,
  account_id integer not null,
  protocol text not null,
  secret_hash text not null unique,
  attempt integer not null,
  generation text not null,
  is_keyed integer not null,
  length_bytes bigint,
  repr_digest text,
  metadata text,
  writer_id text,
  offset_bytes bigint default 0 not null,
  tail text default '[]' not null
);

CREATE TABLE webhook_messages (
  message_id text not null primary key,
  webhook_id text not null references webhooks (webhook_id) on delete cascade,
  event_number bigint not null,
  kind text not null,
  transfer_id text,
  state text not null,
  body text,
  created_at_ms bigint not null,
  attempts integer default 0 not null,
  next_at_ms bigint not null,
  give_up_at_ms bigint not null,
  tried_at_ms bigint,
  ended_at_ms bigint,
  status integer,
  reason text
);

CREATE INDEX webhook_messages_due on webhook_messages (webhook_id, next_at_ms, event_number) where state = 'pending';

CREATE INDEX webhook_messages_ended on webhook_messages (ended_at_ms) where ended_at_ms is not null;

CREATE INDEX webhook_messages_log on webhook_messages (webhook_id, created_at_ms, message_id);

CREATE INDEX webhook_messages_open on webhook_messages (webhook_id, transfer_id, event_number) where state in ('pending', 'queued');

CREATE TABLE webhooks (
  webhook_id text not null primary key,
  account_id integer not null references accounts (account_id),
  url text not null,
  kinds text not null,
  secret text not null,
  whole_portal integer not null,
  created_at_ms bigint not null,
  cursor_event bigint not null,
  open_messages integer default 0 not null,
  failures integer default 0 not null,
  failing_since_ms bigint,
  pause_until_ms bigint,
  next_at_ms bigint,
  served_at_ms bigint default 0 not null,
  lease_portal_id text,
  lease_expires_at_ms bigint,
  disabled_at_ms bigint,
  reason text
);

CREATE INDEX webhooks_active on webhooks (served_at_ms) where disabled_at_ms is null;

CREATE INDEX webhooks_of_account on webhooks (account_id, webhook_id);

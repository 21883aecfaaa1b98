#!/bin/sh
# pgpool-II 4.3.5 with backend_clustering_mode = 'raw' (or 'slony') answers a write and loses it: an INSERT with parameters, as every driver sends
# it (the extended protocol), is answered as done, but stays in a transaction that pgpool has begun and never commits. The client is told that it
# is idle. When it disconnects, the row is gone. It happens to the first such write that a process of pgpool sees for a table; once the process
# remembers the table, writes are committed. So a test with few connections sees it or not by chance. The manual calls raw the mode in
# which pgpool only pools connections. The same INSERT without parameters is always kept.
#
# Seen: raw: 0 of 1 kept with parameters, 1 of 1 without; streaming_replication: 1 of 1 kept with parameters, 1 of 1 without
# What helps: backend_clustering_mode = 'streaming_replication' with load_balance_mode = off, also for a single server; explicit transactions.
#
# Needs Debian's packages postgresql and pgpool2. As root, it runs them as the user postgres.
set -eu
folder=$(mktemp -d)
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
as=
if [ "$(id -u)" = 0 ]; then
  chown postgres "$folder"
  as='setpriv --reuid postgres --regid postgres --clear-groups'
fi
database=
pool=
trap 'kill -INT $pool $database 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
free_port() {
  node -e "const server = require('net').createServer().listen(0, '127.0.0.1', () => server.close(console.log(server.address().port)))"
}
port=$(free_port)
pool_port=$(free_port)
mkdir client
(cd client && npm init -y >/dev/null && npm install --silent --no-audit --no-fund pg@8.23.1)
$as "$bin/initdb" --pgdata data --username postgres --auth trust --no-sync >/dev/null
$as "$bin/postgres" -D data -c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= 2>log &
database=$!
until "$bin/pg_isready" --quiet --host 127.0.0.1 --port $port; do sleep 0.1; done
cat >client/try.cjs <<'JS'
const pg = require('pg')
const [port, poolPort] = process.argv.slice(2).map(Number)
const at = async (number, query) => {
  const client = new pg.Client({ host: '127.0.0.1', port: number, user: 'postgres', database: 'postgres' })
  await client.connect()
  const { rows } = await client.query(query)
  await client.end()
  return rows
}
async function kept(table, query) {
  await at(port, `create table ${table} (number int)`)
  await at(poolPort, query)
  const [{ count }] = await at(port, `select count(*) from ${table}`)
  return `${count} of 1`
}
;(async () => {
  const bound = await kept('bound', { text: 'insert into bound values ($1)', values: [1] })
  const plain = await kept('plain', 'insert into plain values (1)')
  await at(port, 'drop table bound; drop table plain')
  console.log(`${bound} kept with parameters, ${plain} without`)
})()
JS
tried() {
  cat >pgpool.conf <<CONF
listen_addresses = '127.0.0.1'
port = $pool_port
pcp_listen_addresses = ''
backend_clustering_mode = '$1'
backend_hostname0 = '127.0.0.1'
backend_port0 = $port
backend_flag0 = 'ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER'
load_balance_mode = off
sr_check_period = 0
pool_passwd = ''
socket_dir = '$folder'
pcp_socket_dir = '$folder'
logdir = '$folder'
pid_file_name = '$folder/pgpool.pid'
CONF
  chmod a+r pgpool.conf
  $as /usr/sbin/pgpool -n -f pgpool.conf 2>>log &
  pool=$!
  until "$bin/pg_isready" --quiet --host 127.0.0.1 --port $pool_port; do sleep 0.1; done
  said=$(node client/try.cjs $port $pool_port)
  kill -INT $pool
  wait $pool || true
  pool=
}
tried raw
raw=$said
tried streaming_replication
seen="raw: $raw; streaming_replication: $said"
echo "$(/usr/sbin/pgpool --version 2>&1 | head -n 1), PostgreSQL $("$bin/postgres" --version | cut -d ' ' -f 3): $seen"
[ "$seen" = 'raw: 0 of 1 kept with parameters, 1 of 1 without; streaming_replication: 1 of 1 kept with parameters, 1 of 1 without' ]

/** The rows of the table of targets: what each measures, beside what, its target, and what it was before. */

export interface Row {
  readonly id: string
  readonly what: string
  readonly target: string
  /** In the version before, on the same kind of machine. */
  readonly before: string
}

export const rows: readonly Row[] = [
  { id: 'version', what: '`--version`: CPU beside `node -e 0`', target: '≤ 2', before: '1.8' },
  { id: 'tiny', what: '`send` of 10 bytes, sealed: CPU beside `node -e 0`', target: '≤ 5', before: '5.2' },
  { id: 'cpu-pipe', what: '1 GiB, plain: CPU beside curl → piping-server → curl', target: '≤ 1.5', before: '2.34' },
  { id: 'floor-pipe', what: 'the floor (`floor/`): CPU beside the same', target: '', before: '2.1' },
  { id: 'wall-pipe', what: '1 GiB, plain: time beside the same', target: '≤ 1.4', before: '1.54' },
  { id: 'wall-nginx', what: '1 GiB, plain: time beside nginx PUT + GET', target: '≤ 1.0', before: '1.16' },
  { id: 'cpu-sealed', what: '1 GiB: CPU, sealed beside plain', target: '≤ 1.2', before: '1.3' },
  { id: 'wall-sealed', what: '1 GiB: time, sealed beside plain', target: '≤ 1.2', before: '1.13' },
  {
    id: 'cpu-stream',
    what: 'a stream of 1 GiB, plain: CPU beside `cat`, `curl -T -` → piping-server → curl',
    target: '',
    before: '',
  },
  { id: 'wall-stream', what: 'the same: time', target: '', before: '' },
  { id: 'cpu-tls', what: '256 MiB, plain, TLS of the portal: CPU beside plain HTTP', target: '', before: '' },
  {
    id: 'cpu-proxy',
    what: '256 MiB, plain, TLS of nginx before the portal (not counted): the same',
    target: '',
    before: '',
  },
  { id: 'small-plain', what: '5,000 × 4 KiB in one `send`, plain: files a second', target: '≥ 1000', before: '563' },
  { id: 'small-sealed', what: 'the same, sealed', target: '≥ 700', before: '350' },
  { id: 'small-plain-16', what: '16 senders at once, plain: files a second', target: '≥ 500', before: '' },
  { id: 'small-sealed-16', what: 'the same, sealed', target: '≥ 350', before: '' },
  {
    id: 'small-rclone',
    what: '`rclone --transfers 16` to nginx WebDAV and back: files a second',
    target: '',
    before: '22',
  },
  {
    id: 'small-cpu',
    what: '5,000 × 4 KiB, plain: CPU ms a file of sender, portal, receiver',
    target: '',
    before: '1.2, 0.67, 1.1',
  },
  { id: 'small-peak', what: 'the same: peak MiB of sender, portal, receiver', target: '', before: '233, 176, 249' },
  {
    id: 'latency',
    what: '4 KiB, 20 a second, `send()`, plain: announced → `delivered`, p50 / p99 ms',
    target: '≤ 10 / ≤ 40',
    before: '20 / 91',
  },
  { id: 'latency-sealed', what: 'the same, sealed', target: '', before: '21 / 111' },
  { id: 'latency-http', what: 'the same by bare requests, plain', target: '', before: '15 / 42' },
  { id: 'idle-memory', what: '10,000 idle receivers: MB of the portal', target: '≤ 350', before: '514' },
  { id: 'idle-cpu', what: 'the same: percent of a processor', target: '≤ 2', before: '3.3' },
  { id: 'receivers', what: '64 MiB, plain: CPU s for each of 31 further receivers', target: '≤ 0.2', before: '0.37' },
  { id: 'receivers-nginx', what: 'the same by nginx and curl', target: '', before: '' },
  {
    id: 'memory',
    what: 'one file of 10 GiB, plain: peak MB of sender / receiver / portal',
    target: '120 / 120 / 200',
    before: '189 / 210 / 133',
  },
  { id: 'page-sent', what: 'page → `receive`, 128 MiB: pace beside the command line', target: '≥ 0.8', before: '0.43' },
  { id: 'page-received', what: '`send` → page: the same', target: '≥ 0.8', before: '0.48' },
]

/**
 * Plots of what was measured: an SVG, and beside it the figures as JSON, from which it can be drawn again.
 *
 *     npx node bench/plot.ts      draws all that there are figures for
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { median } from './figures.ts'

export interface Axis {
  /** What it is, with its unit. */
  readonly label: string
  readonly scale: 'linear' | 'log'
}

/** A median with its extremes. */
export interface Point {
  readonly x: number
  readonly y: number
  readonly low: number
  readonly high: number
}

export interface Series {
  readonly name: string
  /** In ascending order of x. */
  readonly points: readonly Point[]
}

export interface Plot {
  readonly title: string
  /** When and on what it was measured. */
  readonly circumstances: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
}

/** Where plots lie, if nothing else is said. */
export const plotFolder = fileURLToPath(new URL('./plots', import.meta.url))

const WIDTH = 760
const HEIGHT = 440
const LEFT = 72
const RIGHT = 196
const TOP = 56
const BOTTOM = 56
const LINEAR_TICKS = 6
/** Where a logarithmic axis is short, there are ticks between the powers of ten, too. */
const DECADES_FINE_MAX = 2
const LEGEND_LINE = 20
const COLOURS_LIGHT = ['#0060a8', '#c04000', '#007a50', '#9a3f94', '#806000', '#4d4d4d']
const COLOURS_DARK = ['#6cb6ff', '#ff9a5c', '#4cd6a2', '#e59ae0', '#e0c050', '#b8b8b8']

/** What was measured at `x`, several times. */
export function pointOf(x: number, values: readonly number[]): Point {
  return { x, y: median(values), low: Math.min(...values), high: Math.max(...values) }
}

/** Writes figures and plot. */
export async function savePlot(folder: string, name: string, plot: Plot): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(plot, null, 2)}\n`)
  await writeFile(join(folder, `${name}.svg`), svgOf(plot))
}

/** One axis: where a value lies, and which values are named. */
interface Scale {
  at(value: number): number
  readonly ticks: readonly number[]
}

function scaleOf({ scale }: Axis, values: readonly number[], from: number, to: number): Scale {
  const low = scale === 'log' ? Math.min(...values) : 0
  const high = Math.max(...values)
  const ticks = scale === 'log' ? logTicks(low, high) : linearTicks(high)
  const map = scale === 'log' ? Math.log10 : (value: number) => value
  const [start, end] = [map(Math.min(low, ticks[0] ?? low)), map(Math.max(high, ticks.at(-1) ?? high))]
  return { at: (value) => from + ((map(value) - start) / (end - start || 1)) * (to - from), ticks }
}

function logTicks(low: number, high: number): number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))]
  const steps = last - first <= DECADES_FINE_MAX ? [1, 2, 5] : [1]
  const ticks: number[] = []
  for (let power = first; power <= last; power++) for (const step of steps) ticks.push(step * 10 ** power)
  // One on each side encloses all values; the rest would only be empty.
  const begin = Math.max(
    0,
    ticks.findLastIndex((tick) => tick <= low),
  )
  const end = ticks.findIndex((tick) => tick >= high)
  return ticks.slice(begin, end < 0 ? undefined : end + 1)
}

function linearTicks(high: number): number[] {
  const rough = high / LINEAR_TICKS || 1
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10)
  return Array.from({ length: Math.ceil(high / step) + 1 }, (_, index) => index * step)
}

/** A plot as an SVG that is readable on light and on dark ground. */
export function svgOf({ title, circumstances, x, y, series }: Plot): string {
  const points = series.flatMap((one) => one.points)
  const across = scaleOf(
    x,
    points.map((point) => point.x),
    LEFT,
    WIDTH - RIGHT,
  )
  const up = scaleOf(
    y,
    points.flatMap(({ low, high }) => [low, high]),
    HEIGHT - BOTTOM,
    TOP,
  )
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">`,
    `<style>${styles()}</style>`,
    `<rect class="ground" width="${WIDTH}" height="${HEIGHT}"/>`,
    text(LEFT, 24, title, 'title'),
    text(LEFT, 42, circumstances, 'small'),
  ]
  for (const tick of across.ticks) {
    const at = place(across.at(tick))
    lines.push(`<path class="grid" d="M${at} ${TOP}V${HEIGHT - BOTTOM}"/>`)
    lines.push(text(at, HEIGHT - BOTTOM + 18, number(tick), 'tick', 'middle'))
  }
  for (const tick of up.ticks) {
    const at = place(up.at(tick))
    lines.push(`<path class="grid" d="M${LEFT} ${at}H${WIDTH - RIGHT}"/>`)
    lines.push(text(LEFT - 8, at + 4, number(tick), 'tick', 'end'))
  }
  lines.push(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x.label, 'label', 'middle'))
  lines.push(
    `<g transform="translate(16 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">${text(0, 0, y.label, 'label', 'middle')}</g>`,
  )
  for (const [index, one] of series.entries()) {
    const colour = `c${index % COLOURS_LIGHT.length}`
    const spots = one.points.map((point) => ({ ...point, left: place(across.at(point.x)), top: place(up.at(point.y)) }))
    for (const { left, low, high } of spots) {
      lines.push(`<path class="spread ${colour}" d="M${left} ${place(up.at(low))}V${place(up.at(high))}"/>`)
    }
    lines.push(
      `<polyline class="line ${colour}" points="${spots.map(({ left, top }) => `${left},${top}`).join(' ')}"/>`,
    )
    for (const { left, top } of spots) lines.push(`<circle class="${colour}" cx="${left}" cy="${top}" r="3.5"/>`)
    const legendTop = TOP + 12 + index * LEGEND_LINE
    lines.push(`<path class="line ${colour}" d="M${WIDTH - RIGHT + 16} ${legendTop - 4}h20"/>`)
    lines.push(text(WIDTH - RIGHT + 42, legendTop, one.name, 'label'))
  }
  return `${lines.join('\n')}\n</svg>\n`
}

function styles(): string {
  const colours = (all: readonly string[]): string =>
    all.map((colour, index) => `.c${index}{stroke:${colour};fill:${colour}}`).join('')
  return (
    'text{font-family:system-ui,sans-serif;font-size:12px;fill:#1f2328}.title{font-size:15px;font-weight:600}' +
    '.small{font-size:10px;opacity:.75}.ground{fill:#fff}.grid{stroke:#1f2328;stroke-opacity:.15}' +
    `.line.line{stroke-width:2;fill:none}.spread{stroke-width:1;stroke-opacity:.6}${colours(COLOURS_LIGHT)}` +
    '@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}.grid{stroke:#e6edf3}' +
    `${colours(COLOURS_DARK)}}`
  )
}

function text(x: number, y: number, content: string, style: string, anchor = 'start'): string {
  return `<text x="${x}" y="${y}" class="${style}" text-anchor="${anchor}">${escaped(content)}</text>`
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

function place(value: number): number {
  return Math.round(value * 10) / 10
}

function number(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en-GB', { maximumFractionDigits: 3 })
}

if (import.meta.main) {
  for (const file of (await readdir(plotFolder)).filter((name) => name.endsWith('.json'))) {
    const plot: Plot = JSON.parse(await readFile(join(plotFolder, file), 'utf8'))
    await savePlot(plotFolder, file.slice(0, -'.json'.length), plot)
  }
}

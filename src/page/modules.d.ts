/** Types for import names that Vite handles: the URL of a worker's script. */
declare module '*?worker&url' {
  const address: string
  export default address
}

/** Style sheets: Vite gathers them into one file of the page. */
declare module '*.css'

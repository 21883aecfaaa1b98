/** What Vite makes of names of modules: the address of a worker's script. */
declare module '*?worker&url' {
  const address: string
  export default address
}

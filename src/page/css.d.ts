/** Style sheets: Vite gathers them into one file of the page. */
declare module '*.css'

/** The logo: the picture of the two hops, at the smallest size. */
export function Mark() {
  return (
    <svg viewBox="0 0 46 18" aria-hidden="true">
      <path d="M6 11V6q0-3 3-3h8q3 0 3 3v5" fill="none" stroke="var(--hop-1)" stroke-width="1.6" />
      <path d="M26 11V6q0-3 3-3h8q3 0 3 3v5" fill="none" stroke="var(--hop-2)" stroke-width="1.6" />
      <path d="M3 13h40" stroke="currentColor" stroke-width="1.6" />
      <circle cx="4" cy="13" r="3.4" fill="currentColor" />
      <rect x="19" y="9" width="8" height="8" rx="1.5" fill="currentColor" />
      <circle cx="42" cy="13" r="3.4" fill="currentColor" />
    </svg>
  )
}

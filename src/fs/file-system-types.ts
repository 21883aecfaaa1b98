/** File systems of this machine by their number in `statfs` (linux/magic.h). No other machine changes what is in them. */

/** One sync of such a file system as a whole (syncfs) has written all data when it returns. */
export const syncedAsWholeTypes: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x9123683e, // btrfs
  0x58465342, // xfs
  0x01021994, // tmpfs
  0x794c7630, // overlayfs
  0x2fc12fc1, // zfs
  0xf2f52010, // f2fs
])

export const localFileSystemTypes: ReadonlySet<number> = new Set([
  ...syncedAsWholeTypes,
  0x2011bab0, // exfat
  0x4d44, // vfat
  0x7366746e, // ntfs3
])

# Generated from src/capture-initramfs/constants.ts by `npm run build`: do not edit.
# shellcheck disable=SC2034 # the scripts that read this file use them

# around the dead kernel's log on a console; each alone on its line
LOG_BEGINS='---- saveoops: log of the dead kernel begins ----'
# what reads a console cuts the log out by these two
LOG_ENDS='---- saveoops: log of the dead kernel ends ----'
# until when feed-watchdog feeds; written by init
DEADLINE_FILE='/run/capture/deadline'
# who made this initramfs
GENERATOR_FILE='/etc/saveoops/generator'
# public keys of age or SSH; without it dumps are not encrypted
DUMP_KEY='/etc/saveoops/dump-key'
# the primary kernel's font, for a VGA that has lost its own
FONT_FILE='/lib/saveoops/font'
# drivers of hardware watchdogs
WATCHDOG_MODULES='lpc_ich i2c_i801 iTCO_wdt wdat_wdt i6300esb sp5100_tco'
# a capture directory: docs/capture.md, "The capture directory"
CAPTURE_NAME='^[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9.+_-]+-[0-9a-f]{6}$'
# all that a whole one holds
CAPTURE_FILES='dmesg.txt vmcore vmcore.age capture.log capture.json'
# beside the captures: their number since the last good boot
IN_A_ROW_FILE='in-a-row'
# before the name of the capture, for the kernel that boots instead
FALLBACK_WORD='saveoops.fallback='
# the boot menu's part that an installed system includes
MENU_FILE='syslinux-saveoops.cfg'
# after a reset: in the last lines of the log, nothing died. A restart, a step to disk, the boot that read it back
ORDERLY_END='^(reboot: (Restarting system|Power down|System halted)|kexec(_core)?: Starting new kernel|ACPI: (PM: )?Preparing to enter system sleep state S4|PM: (hibernation: )?(Image loading done|Image successfully loaded))'
# where it is looked for: devices and CPUs that go to sleep say something, too
ORDERLY_LINES=40
# vmcore-dmesg never ends on some broken notes; a sound log takes it less than a second
EXTRACT_SECONDS=60
# of the log on a console, at a time
CHUNK_BYTES=8192
# a chunk takes 55 at 1500 baud
CHUNK_SECONDS=60
# at the end of a log that is on a disk, too: saveoops.print=all prints all
PRINTED_LINES=200
# of the log, that the summary repeats: with it they fit a screen of 25 lines
EXCERPT_LINES=16
# at the end of the log, in which the first sign of what it died of is looked for
DEATH_LINES=200
# to draw it; 5 on an emulated processor
LAST_SCREEN_SECONDS=60
# of the last screen, from which on it is the QR code: 16 rows are left for it
CODE_ROW=10
# of the QR code at most: 109 modules, 28 columns and 14 rows; draw-qr.c says why
CODE_VERSION=23
# everything but the log's size: mounts, extraction, start of the consoles
BASE_SECONDS=180
# from the start of saving until the log is safe; then it is printed, whatever saving does
SAFE_SECONDS=60
# between two signs of life of save-capture, whose own limits are shorter
SAVING_SECONDS=300
# until feed-watchdog has stopped the watchdogs
STOP_SECONDS=4
# after the call that should have ended this kernel, before it is ended by force
LEAVE_SECONDS=15
# without progress: a sound disk writes something in this time
STALL_SECONDS=120
# drivers, and the disks that they find; load-modules has limits of its own
MODULES_SECONDS=90
# one disk; a removable drive without a medium takes a few
PROBE_SECONDS=20
# a disk on USB may appear late
APPEAR_SECONDS=15
# a journal's replay included
MOUNT_SECONDS=120
# small files, and the cache of a slow stick
WRITE_SECONDS=120
# kept for capture.json and capture.log on a disk that the dump fills; Debian's crash kernel says about 60
RESERVE_KIB=256
# one driver: after that the next is tried, and this one goes on beside it
MODULE_SECONDS=15
# no new device for that long: all are there. usb-storage waits 1 before it looks at a new disk
QUIET_SECONDS=3
# the same while a SCSI disk has not said its size. Not for ever: parts of a RAID never do
SILENT_SECONDS=20
# all of them: some RAID controllers take a minute to reset
STORAGE_SECONDS=90
# between two signs of life; the shortest timeout that a driver begins with is 30 (i6300esb, iTCO_wdt)
FEED_SECONDS=2

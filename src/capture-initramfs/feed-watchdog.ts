/**
 * /bin/feed-watchdog of the capture initramfs, a script for busybox sh: keeps a hardware watchdog that the dead kernel
 * armed from ending the capture. docs/capture.md, "Hardware watchdogs", describes it for users.
 *
 * Some drivers stop their watchdog when they are loaded, others feed it themselves from then on. Both would let a
 * capture hang for ever, so every watchdog is opened, which arms it, and fed from here: as long as init's own time limit
 * holds, and no longer.
 */

/** The busybox tools that feed-watchdog calls. */
export const feedWatchdogApplets: readonly string[] = ['cat', 'sleep'];

/**
 * Until when to feed, written by init: a number of seconds of /proc/uptime, `never` (a person is at a shell: no end), or
 * `off` (the machine is to stand still: the watchdogs are stopped).
 */
export const deadlineFile = '/run/capture/deadline';

/** Times in seconds. */
const limits = {
  /** Between two signs of life; the shortest timeout that a driver begins with is 30 s (i6300esb, iTCO_wdt). */
  pause: 2,
} as const;

/** The script's text. It ends when every watchdog it fed is left to itself or stopped. */
export const feedWatchdogScript = String.raw`#!/bin/sh
# feed-watchdog: loads the drivers of hardware watchdogs and feeds them until ${deadlineFile} is over.
notes=/run/capture/notes

note() {
  read -r uptime rest </proc/uptime
  echo "[$uptime] $1" >>$notes
}

# The reason to stop, when there is one: $end is over (the watchdog then does its work) or off.
is_over() {
  end=0
  read -r end <${deadlineFile}
  case $end in
    never) return 1 ;;
    off) return 0 ;;
  esac
  read -r now rest </proc/uptime
  [ ${'${now%.*}'} -ge $end ]
}

# Closed without the letter V a watchdog stays armed: Documentation/watchdog/watchdog-api.rst.
feed() {
  exec 3>$1
  note "feeding $1: $(cat /sys/class/watchdog/${'${1#/dev/}'}/identity)"
  until is_over; do
    echo . >&3
    sleep ${limits.pause}
  done
  [ "$end" != off ] || echo V >&3
}

load-modules watchdog >>$notes 2>&1
fed=
# A driver that comes with another device, a disk's for one, may bring a watchdog later.
until is_over; do
  for device in /dev/watchdog[0-9]*; do
    case "$fed " in
      *" $device "*) continue ;;
    esac
    [ -c $device ] || continue
    fed="$fed $device"
    feed $device &
  done
  sleep ${limits.pause}
done
wait
`;

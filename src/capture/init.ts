/**
 * The /init of the capture initramfs, a script for busybox sh. It is process 1 of the crash kernel: whatever
 * happens, it must come to an end, because the machine is down until it does.
 *
 * Three things keep that promise. Every program that reads the dead kernel's memory or writes to a console runs
 * under a time limit. A watchdog beside the script ends it when the limits fail. And if the script itself dies,
 * the kernel panics over the loss of process 1 and `panic=` of its command line reboots.
 */
import { diagnoseFunction } from './diagnose.js';
import { deadlineFile } from './feed-watchdog.js';
import { limitedApplets, limitedFunctions } from './limited.js';
import { logBegins, logEnds } from './markers.js';

/** The busybox tools that init calls by name; the initramfs has a link for each. */
export const initApplets: readonly string[] = [
  ...limitedApplets,
  ...[
    'cat',
    'cttyhack',
    'cut',
    'dd',
    'dmesg',
    'grep',
    'halt',
    'head',
    'mkdir',
    'mount',
    'mv',
    'poweroff',
    'reboot',
    'sed',
  ],
  ...['setsid', 'sh', 'sleep', 'stty', 'sync', 'tail', 'timeout', 'wc'],
];

/** Times in seconds. */
const limits = {
  /** vmcore-dmesg never ends on some broken notes; a sound log takes it less than a second. */
  extract: 60,
  /** One chunk of the log on one console: 8 KiB take 55 s at 1500 baud. */
  chunk: 60,
  /** Everything but the log's size: mounts, extraction, start of the consoles. */
  base: 180,
  /** From the start of saving until the log is on the disk; then it is printed, whatever saving does. */
  safe: 60,
  /** Between two signs of life of save-capture, whose own limits are shorter. */
  saving: 300,
  /** Until feed-watchdog has stopped the watchdogs. */
  stop: 4,
  /** After the call that should have ended this kernel, before it is ended by force. */
  leave: 15,
} as const;

const chunkBytes = 8192;

/** Lines of the dead kernel's log that the summary repeats: with it they fit a screen of 25 lines. */
const excerptLines = 16;

/** The script's text. */
export const initScript = String.raw`#!/bin/sh
# /init of the Saveoops capture initramfs: prints the dead kernel's log, then leaves. See docs/capture.md.
export PATH=/bin LD_LIBRARY_PATH=/lib LC_ALL=C

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

# A driver that fails must not take the capture with it. Until here nothing but a panic would have ended this kernel.
echo 0 >/proc/sys/kernel/panic_on_oops

# This kernel's own messages would come between the lines of the log.
dmesg -n 1

# --- what the command line asks for; the last of several wins ---
after=reboot
locked=
hold=10
elfcorehdr=
export save=none dump=none keep=0 boot= max_in_a_row=0 entry=
set -f # a word of the command line is not a file pattern
for word in $(cat /proc/cmdline); do
  case $word in
    # The entry stub adds it where Secure Boot locks the primary down; no word that it copies can take it back.
    lockdown=*) locked=yes ;;
    saveoops.after=*) after=${'${word#*=}'} ;;
    saveoops.hold=*) hold=${'${word#*=}'} ;;
    saveoops.save=*) save=${'${word#*=}'} ;;
    saveoops.dump=*) dump=${'${word#*=}'} ;;
    saveoops.keep=*) keep=${'${word#*=}'} ;;
    saveoops.boot=*) boot=${'${word#*=}'} ;;
    saveoops.max-in-a-row=*) max_in_a_row=${'${word#*=}'} ;;
    saveoops.entry=*) entry=${'${word#*=}'} ;;
    elfcorehdr=*) elfcorehdr=$word ;;
  esac
done
set +f
case $after in
  reboot | poweroff | halt | shell) complaint= ;;
  *)
    complaint="saveoops: saveoops.after=$after is none of reboot, poweroff, halt, shell: rebooting"
    after=reboot
    ;;
esac
if [ $after$locked = shellyes ]; then
  complaint="saveoops: no shell on a machine that is locked down (Secure Boot): rebooting"
  after=reboot
fi
case $hold in
  # No leading zero: the shell would count in octal, and an error in its arithmetic ends it.
  [0-9] | [1-9][0-9] | [1-9][0-9][0-9] | [1-9][0-9][0-9][0-9]) ;;
  *)
    complaint="$complaint
saveoops: saveoops.hold=$hold is no number of seconds from 0 to 9999: holding 10"
    hold=10
    ;;
esac

${limitedFunctions}
# --- the end, by the clean way and then by force ---
# Runs its steps in the background: a call that hangs must not keep the next one from being tried.
leave() {
  limited 10 sync
  case $after in
    halt)
      echo off >${deadlineFile}
      sleep ${limits.stop}
      ;;
    *) echo 0 >${deadlineFile} ;;
  esac
  case $after in
    poweroff) (poweroff -f) & ;;
    halt) (halt -f) & ;;
    *) (reboot -f) & ;;
  esac
  sleep ${limits.leave}
  [ $after = halt ] || echo b >/proc/sysrq-trigger
  while :; do sleep 60; done
}

# Ends this kernel in $1 seconds, unless it is set anew. Not with a person at a shell. When leaving hangs, hardware
# watchdogs end it soon after that.
watchdog=
set_watchdog() {
  [ -z "$watchdog" ] || kill $watchdog
  watchdog=
  if [ $after = shell ]; then
    echo never >${deadlineFile}
    return
  fi
  read -r now rest </proc/uptime
  echo $((${'${now%.*}'} + $1 + ${limits.leave})) >${deadlineFile}
  (
    sleep $1
    echo "saveoops: giving up after $1 seconds" >/dev/console &
    leave
  ) &
  watchdog=$!
}
mount -t tmpfs -o mode=0700 tmpfs /run
state=/run/capture
mkdir $state
: >$state/notes
set_watchdog ${limits.base}
feed-watchdog &

# --- the log ---
log=$state/log
errors=$state/errors
report=$state/report
summary=$state/summary
: >$log
: >$errors

# Why there is no dead kernel to look at, in one line.
why_no_vmcore() {
  if [ -z "$elfcorehdr" ]; then
    echo "this kernel was not started by a crash (no elfcorehdr= on its command line)"
  elif dmesg | grep -q "vmcore not initialized"; then
    echo "the kernel refused the ELF core header ($elfcorehdr): vmcore not initialized"
  else
    echo "the kernel made none from $elfcorehdr (is CONFIG_PROC_VMCORE set?)"
  fi
}

memory_kib() {
  while read -r name value unit; do
    [ "$name" != "$1:" ] || echo $value
  done </proc/meminfo
}

# Sets $verdict. The end of a log is its worth, so when it does not fit in a part of the memory that is left,
# the beginning is dropped. A quarter, because the log is there twice: in the file, and in tail or the report.
extract() {
  available=$(memory_kib MemAvailable)
  room=$((${'${available:-4096}'} / 4))
  {
    timeout -k 5 ${limits.extract} vmcore-dmesg /proc/vmcore 2>$errors
    echo $? >$state/status
  } | tail -c $((room * 1024)) >$log
  status=$(cat $state/status)
  size=$(wc -c <$log)
  # A log that was cut off need not end with a line; the end marker must stand on its own.
  [ -z "$(tail -c 1 $log)" ] || echo >>$log
  case $status in
    137 | 143) verdict="saveoops: vmcore-dmesg stopped after ${limits.extract} seconds, $size bytes of log" ;;
    *) verdict="saveoops: vmcore-dmesg exit status $status, $size bytes of log" ;;
  esac
  [ $size -lt $((room * 1024)) ] && return
  verdict="$verdict (the last part of a larger log)"
  [ $status != 0 ] || : >$state/log-is-cut
}

${diagnoseFunction}

# The end of the log for a screen: from the last call trace on when that is longer, because its first lines say most.
excerpt() {
  sed 's/^\[ *[0-9.]*\] //' $log | cut -c 1-79 >$state/plain
  trace=$(grep -n "Call Trace:" $state/plain | tail -n 1)
  trace=${'${trace%%:*}'}
  lines=$(wc -l <$state/plain)
  first=$((lines - ${excerptLines - 1}))
  [ -z "$trace" ] || [ $trace -ge $first ] || first=$trace
  [ $first -ge 1 ] || first=1
  tail -n +$first $state/plain | head -n ${excerptLines}
}

# What a person who comes to the screen needs: what happened, where it is saved, what comes next.
summarise() {
  [ ! -e /proc/vmcore ] || excerpt
  case $kind in
    panic) echo "saveoops: $message" ;;
    exception) echo "saveoops: no panic message in the log; the last exception: $message" ;;
    unknown) echo "saveoops: no panic message in the log" ;;
  esac
  while read -r line; do echo "saveoops: $line"; done <$state/outcome
  [ -z "$complaint" ] || echo "$complaint"
  case $after in
    reboot | poweroff | halt) echo "saveoops: $after in $hold seconds" ;;
    shell) echo "saveoops: shell on /dev/console; leave it to reboot" ;;
  esac
}

kind=
: >$state/outcome
saver=
if [ -e /proc/vmcore ]; then
  extract
  diagnose
  echo $kind >$state/kind
  echo "$message" >$state/message
  {
    echo
    echo "${logBegins}"
    cat $log
    echo "${logEnds}"
    echo "$verdict"
    while read -r line; do echo "saveoops: vmcore-dmesg: $line"; done <$errors
  } >$report
  case $save in
    none) echo "not saved to a disk: none is named (saveoops.save=)" >$state/outcome ;;
    *)
      save-capture >$state/outcome 2>&1 &
      saver=$!
      ;;
  esac
else
  {
    echo
    echo "saveoops: no /proc/vmcore: $(why_no_vmcore)"
  } >$report
fi

# The log goes to the disk first, which takes a second, while a slow console takes minutes. But not to a disk that hangs.
waited=0
while [ -n "$saver" ] && [ ! -e $state/safe ] && [ $waited -lt ${limits.safe * 10} ] && kill -0 $saver 2>/dev/null; do
  sleep 0.1
  waited=$((waited + 1))
done

# --- print it on every console ---
# Each console has a process of its own, so that one that is slow or blocked cannot stop the others. The limit is
# for one chunk, not for all: a slow line may take its time as long as it moves.
chunks_of() {
  echo $((($(wc -c <$1) + ${chunkBytes - 1}) / ${chunkBytes}))
}

# A file on the console that is open as 3.
show() {
  chunks=$(chunks_of $1)
  i=0
  while [ $i -lt $chunks ]; do
    timeout ${limits.chunk} dd if=$1 bs=${chunkBytes} skip=$i count=1 2>/dev/null >&3 || return
    i=$((i + 1))
  done
}

show_on() {
  [ -c /dev/$1 ] || return
  timeout ${limits.chunk} sh -c ": >/dev/$1" || return
  exec 3>/dev/$1
  show $report || return
  while [ ! -e $summary ]; do sleep 0.1; done
  show $summary || return
  # Setting a mode waits until all is sent, and a reboot would cut off what is not.
  timeout ${limits.chunk} stty -F /dev/$1 opost 2>/dev/null
}

consoles=$(cat /sys/class/tty/console/active)
# A chunk a minute is what show_on puts up with, so no console that still moves is cut off by the watchdog.
patience=$((${limits.base} + hold + ($(chunks_of $report) + 4) * ${limits.chunk}))
set_watchdog $patience
printers=
for console in ${'${consoles:-console}'}; do
  show_on $console &
  printers="$printers $!"
done

# A dump takes as long as it takes, but something must move.
waited=0
pulse=
while [ -n "$saver" ] && kill -0 $saver 2>/dev/null; do
  seen="$(cat $state/pulse 2>/dev/null) $(wc -c <$state/notes)"
  if [ "$seen" != "$pulse" ]; then
    pulse=$seen
    waited=0
  fi
  if [ $waited -ge ${limits.saving * 2} ]; then
    kill -9 $saver
    echo "saving did not end: $(tail -n 1 $state/notes)" >>$state/outcome
    saver=
  fi
  waited=$((waited + 1))
  [ $((waited % 60)) != 0 ] || set_watchdog $patience
  sleep 0.5
done
set_watchdog $patience
summarise >$summary.part
mv $summary.part $summary
wait $printers

# --- and go ---
if [ $after = shell ]; then
  busybox --install -s /bin
  setsid cttyhack sh
  after=reboot
  hold=0
fi
sleep $hold
leave
`;

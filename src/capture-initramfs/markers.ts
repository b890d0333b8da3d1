/**
 * The two lines between which the capture initramfs prints the dead kernel's log, each alone on its line. What
 * reads a console (the test harness, a person with a serial log) cuts the log out by them, so they are defined
 * once, here.
 */
export const logBegins = '---- saveoops: log of the dead kernel begins ----';
export const logEnds = '---- saveoops: log of the dead kernel ends ----';

/*
 * Offsets in the state page (PLACE_STATE of the crash region), written at the crash only. No digest covers it, so nothing
 * is believed that it holds before.
 */
#ifndef SAVEOOPS_CRASH_H
#define SAVEOOPS_CRASH_H

#define STATE_ENTERED 0
#define STATE_CR3 8
#define STATE_CR4 16
#define STATE_RSP 24
#define STATE_BACK 32
#define STATE_RBX 40
#define STATE_RBP 48
#define STATE_R12 56
#define STATE_R13 64
#define STATE_R14 72
#define STATE_R15 80
#define STATE_RDI 88

/* Value of STATE_ENTERED inside the stub: far from what a flipped bit makes of 0. */
#define ENTERED 0xa9c3e15d7b42f86d

#endif

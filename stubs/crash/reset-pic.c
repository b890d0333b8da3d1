/*
 * The two 8259 interrupt controllers as the BIOS of an AT sets them up, whose vectors the dead kernel has moved (Intel
 * 8259A data sheet, "Initialization Command Words"; IBM PC/AT Technical Reference, "System Interrupts").
 */
#include "machine.h"
#include "reset.h"

#define PRIMARY 0x20
#define SECONDARY 0xa0

/* The controllers need time between two commands; port 0x80 takes about a microsecond. */
static void command(u8 value, u16 port)
{
	outb(value, port);
	inb(0x80);
}

static void initialise(u16 port, u8 vector, u8 cascade, u8 mask)
{
	command(0x11, port);            /* ICW1: edge-triggered, cascaded, ICW4 follows */
	command(vector, port + 1);      /* ICW2 */
	command(cascade, port + 1);     /* ICW3 */
	command(0x01, port + 1);        /* ICW4: 8086 mode, normal end of interrupt */
	command(mask, port + 1);        /* OCW1 */
}

/* Masked but for the cascade, as the kernel's own setup code hands them over (arch/x86/boot/pm.c). */
void reset_pic(void)
{
	initialise(PRIMARY, 0x08, 1 << 2, 0xfb);
	initialise(SECONDARY, 0x70, 2, 0xff);
}

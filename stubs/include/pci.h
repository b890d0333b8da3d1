/* Configuration space of PCI, bus 0, by mechanism 1 (PCI Local Bus Specification 2.1, 3.7.4.1). */
#ifndef SAVEOOPS_PCI_H
#define SAVEOOPS_PCI_H
#include "machine.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define PCI_ENABLE 0x80000000u

static inline u32 pci_read(u32 device, u32 function, u32 offset)
{
	outl(PCI_ENABLE | device << 11 | function << 8 | offset, PCI_ADDRESS);
	return inl(PCI_DATA);
}

#endif

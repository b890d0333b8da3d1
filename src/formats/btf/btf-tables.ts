/**
 * BTF constants, named as in include/uapi/linux/btf.h; Documentation/bpf/btf.rst explains them.
 */
export const BTF_MAGIC = 0xeb9f;
export const BTF_VERSION = 1;
/** Up to str_len; newer headers are longer, which hdr_len tells. */
export const BTF_HEADER_SIZE = 24;
/** With layout_off and layout_len. */
export const BTF_LAYOUT_HEADER_SIZE = 32;
export const BTF_TYPE_SIZE = 12;

export const BTF_KIND_INT = 1;
export const BTF_KIND_PTR = 2;
export const BTF_KIND_ARRAY = 3;
export const BTF_KIND_STRUCT = 4;
export const BTF_KIND_UNION = 5;
export const BTF_KIND_ENUM = 6;
export const BTF_KIND_FWD = 7;
export const BTF_KIND_TYPEDEF = 8;
export const BTF_KIND_VOLATILE = 9;
export const BTF_KIND_CONST = 10;
export const BTF_KIND_RESTRICT = 11;
export const BTF_KIND_FUNC = 12;
export const BTF_KIND_FUNC_PROTO = 13;
export const BTF_KIND_VAR = 14;
export const BTF_KIND_DATASEC = 15;
export const BTF_KIND_FLOAT = 16;
export const BTF_KIND_DECL_TAG = 17;
export const BTF_KIND_TYPE_TAG = 18;
export const BTF_KIND_ENUM64 = 19;

/** struct btf_layout: bytes after a struct btf_type, once (`info`) and for each of its vlen elements (`element`). */
export interface KindLayout {
  readonly info: number;
  readonly element: number;
}

/** Indexed by kind. Kinds that are not here are stepped over only when the BTF carries a layout section. */
export const knownLayouts: readonly (KindLayout | undefined)[] = [
  undefined,
  { info: 4, element: 0 }, // INT
  { info: 0, element: 0 }, // PTR
  { info: 12, element: 0 }, // ARRAY
  { info: 0, element: 12 }, // STRUCT
  { info: 0, element: 12 }, // UNION
  { info: 0, element: 8 }, // ENUM
  { info: 0, element: 0 }, // FWD
  { info: 0, element: 0 }, // TYPEDEF
  { info: 0, element: 0 }, // VOLATILE
  { info: 0, element: 0 }, // CONST
  { info: 0, element: 0 }, // RESTRICT
  { info: 0, element: 0 }, // FUNC
  { info: 0, element: 8 }, // FUNC_PROTO
  { info: 4, element: 0 }, // VAR
  { info: 0, element: 12 }, // DATASEC
  { info: 0, element: 0 }, // FLOAT
  { info: 4, element: 0 }, // DECL_TAG
  { info: 0, element: 0 }, // TYPE_TAG
  { info: 0, element: 12 }, // ENUM64
];

/**
 * Wide masks: vlen was 16 bits and kind 5 until the header that brought struct btf_layout took the bits between and
 * above them, zero before, into use.
 */
export function infoKind(info: number): number {
  return (info >>> 24) & 0x7f;
}

export function infoVlen(info: number): number {
  return info & 0xffffff;
}

export function infoKindFlag(info: number): boolean {
  return info >>> 31 === 1;
}

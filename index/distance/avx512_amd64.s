#include "textflag.h"

// The loops are written once, in many_avx512_amd64.h, over ACCUMULATE.

// SUM(a, b, c, d): the sixteen values of each, in a, down to four, in xa.
// ya and xa are the low parts of a; yb and xb those of b.
#define SUM(a, b, c, d, ya, xa, yb, xb) \
	VADDPS        b, a, a;   \
	VADDPS        d, c, c;   \
	VADDPS        c, a, a;   \
	HALVE(a, ya, xa, yb, xb)

#define HALVE(a, ya, xa, yb, xb) \
	VEXTRACTF64X4 $1, a, yb;  \
	VADDPS        yb, ya, ya; \
	VEXTRACTF128  $1, ya, xb; \
	VADDPS        xb, xa, xa

// func dotManyAVX512(query, rows, out []float32)
TEXT ·dotManyAVX512(SB), NOSPLIT, $0-72
	MOVQ query_base+0(FP), SI
	MOVQ query_len+8(FP), CX
	MOVQ rows_base+24(FP), DI
	MOVQ out_base+48(FP), DX
	MOVQ out_len+56(FP), R8

// sum += q * at
#define ACCUMULATE(at, q, t, sum) \
	VFMADD231PS at, q, sum

#include "many_avx512_amd64.h"
#undef ACCUMULATE

// func l2ManyAVX512(query, rows, out []float32)
TEXT ·l2ManyAVX512(SB), NOSPLIT, $0-72
	MOVQ query_base+0(FP), SI
	MOVQ query_len+8(FP), CX
	MOVQ rows_base+24(FP), DI
	MOVQ out_base+48(FP), DX
	MOVQ out_len+56(FP), R8

// sum += (q - at)^2
#define ACCUMULATE(at, q, t, sum) \
	VSUBPS      at, q, t; \
	VFMADD231PS t, t, sum

#include "many_avx512_amd64.h"
#undef ACCUMULATE

// func l1ManyAVX512(query, rows, out []float32)
TEXT ·l1ManyAVX512(SB), NOSPLIT, $0-72
	MOVQ query_base+0(FP), SI
	MOVQ query_len+8(FP), CX
	MOVQ rows_base+24(FP), DI
	MOVQ out_base+48(FP), DX
	MOVQ out_len+56(FP), R8

	// Z24: all bits but the signs
	VPTERNLOGD $0xFF, Z24, Z24, Z24
	VPSRLD     $1, Z24, Z24

// sum += |q - at|
#define ACCUMULATE(at, q, t, sum) \
	VSUBPS at, q, t;  \
	VPANDD Z24, t, t; \
	VADDPS t, sum, sum

#include "many_avx512_amd64.h"
#undef ACCUMULATE

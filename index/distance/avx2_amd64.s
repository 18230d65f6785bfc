#include "textflag.h"

// The loops are written once, in many_avx2_amd64.h, over ACCUMULATE.

// HALVE(y, x, t): the eight values of y down to four, in x, its low half.
#define HALVE(y, x, t) \
	VEXTRACTF128 $1, y, t; \
	VADDPS       t, x, x

// tail<>+32-4*n is a mask of the first n of eight values.
DATA tail<>+0(SB)/8, $-1
DATA tail<>+8(SB)/8, $-1
DATA tail<>+16(SB)/8, $-1
DATA tail<>+24(SB)/8, $-1
DATA tail<>+32(SB)/8, $0
DATA tail<>+40(SB)/8, $0
DATA tail<>+48(SB)/8, $0
DATA tail<>+56(SB)/8, $0
GLOBL tail<>(SB), RODATA|NOPTR, $64

// func dotManyAVX2(query, rows, out []float32)
TEXT ·dotManyAVX2(SB), NOSPLIT, $0-72
	MOVQ query_base+0(FP), SI
	MOVQ query_len+8(FP), CX
	MOVQ rows_base+24(FP), DI
	MOVQ out_base+48(FP), DX
	MOVQ out_len+56(FP), R8

// sum += q * at
#define ACCUMULATE(at, q, t, sum) \
	VFMADD231PS at, q, sum

#include "many_avx2_amd64.h"
#undef ACCUMULATE

// func l2ManyAVX2(query, rows, out []float32)
TEXT ·l2ManyAVX2(SB), NOSPLIT, $0-72
	MOVQ query_base+0(FP), SI
	MOVQ query_len+8(FP), CX
	MOVQ rows_base+24(FP), DI
	MOVQ out_base+48(FP), DX
	MOVQ out_len+56(FP), R8

// sum += (q - at)^2
#define ACCUMULATE(at, q, t, sum) \
	VSUBPS      at, q, t; \
	VFMADD231PS t, t, sum

#include "many_avx2_amd64.h"
#undef ACCUMULATE

// func l1ManyAVX2(query, rows, out []float32)
TEXT ·l1ManyAVX2(SB), NOSPLIT, $0-72
	MOVQ query_base+0(FP), SI
	MOVQ query_len+8(FP), CX
	MOVQ rows_base+24(FP), DI
	MOVQ out_base+48(FP), DX
	MOVQ out_len+56(FP), R8

	// Y14: all bits but the signs
	VPCMPEQD Y14, Y14, Y14
	VPSRLD   $1, Y14, Y14

// sum += |q - at|
#define ACCUMULATE(at, q, t, sum) \
	VSUBPS at, q, t;  \
	VANDPS Y14, t, t; \
	VADDPS t, sum, sum

#include "many_avx2_amd64.h"
#undef ACCUMULATE

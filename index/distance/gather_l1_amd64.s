#include "go_asm.h"
#include "textflag.h"
#include "gather_amd64.h"

// The differences of bytes have an instruction of their own, which adds up
// eight of them. Of the last block of a row only its values count: behind them
// lie terms or another row, which may be being written. The registers are those
// of gather_amd64.h.

// LAST(n): how many values the last block has. Clobbers R14.
#define LAST(n) \
	MOVQ q+0(FP), R14;          \
	MOVQ CodeQuery_Dim(R14), n; \
	DECQ n;                     \
	ANDQ $63, n;                \
	INCQ n

// L1FINISH: X0 holds two sums. Clobbers R15.
#define L1FINISH \
	VPSHUFD    $0x4E, X0, X1; \
	VPADDQ     X1, X0, X0;    \
	VMOVD      X0, R15;       \
	VXORPS     X5, X5, X5;    \
	VCVTSI2SSL R15, X5, X5;   \
	VMOVSS     X5, (DI)

// func l1CodeGatherAVX512(q *CodeQuery, c *Codes, numbers []uint32, out []float32)
TEXT ·l1CodeGatherAVX512(SB), NOSPLIT, $16-64
	LOAD
	LAST(R15)
	MOVQ  $-1, BX
	BZHIQ R15, BX, BX
	KMOVQ BX, K1

	// Rows to fetch ahead: AHEAD lines, at least two rows, at most all.
	MOVQ R9, R15
	SHRQ $6, R15
	MOVQ $AHEAD, AX
	XORL DX, DX
	DIVQ R15
	INCQ AX
	CMPQ AX, R8
	JLE  2(PC)
	MOVQ R8, AX
	MOVQ AX, BX
	MOVQ c+8(FP), R14
	MOVQ Rows_Chunks(R14), AX
	MOVQ numbers_base+16(FP), DX
	LEAQ -4(DX)(R8*4), R15
	MOVQ R15, last-8(SP)

	// Fetch them.
	XORQ R15, R15

first:
	PLACE((DX)(R15*4), R11)
	XORQ R13, R13

firstline:
	PREFETCHT0 (R11)(R13*1)
	ADDQ       $64, R13
	CMPQ       R13, R9
	JLT        firstline
	INCQ       R15
	CMPQ       R15, BX
	JLT        first
	LEAQ       (DX)(BX*4), BX
	SUBQ       $64, R9 // the last block is on its own

row:
	PLACE((DX), R10)
	CMPQ BX, last-8(SP)
	JLE  2(PC)
	MOVQ last-8(SP), BX
	PLACE((BX), R11)
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	XORQ R13, R13
	LEAQ -256(R9), R15
	JMP  fourtest

four:
	PREFETCHT0 (R11)(R13*1)
	PREFETCHT0 64(R11)(R13*1)
	PREFETCHT0 128(R11)(R13*1)
	PREFETCHT0 192(R11)(R13*1)
	VMOVDQU64  (R10)(R13*1), Z16
	VMOVDQU64  64(R10)(R13*1), Z17
	VMOVDQU64  128(R10)(R13*1), Z18
	VMOVDQU64  192(R10)(R13*1), Z19
	VPSADBW    (SI)(R13*1), Z16, Z16
	VPSADBW    64(SI)(R13*1), Z17, Z17
	VPSADBW    128(SI)(R13*1), Z18, Z18
	VPSADBW    192(SI)(R13*1), Z19, Z19
	VPADDQ     Z16, Z0, Z0
	VPADDQ     Z17, Z1, Z1
	VPADDQ     Z18, Z0, Z0
	VPADDQ     Z19, Z1, Z1
	ADDQ       $256, R13

fourtest:
	CMPQ R13, R15
	JLE  four
	JMP  onetest

one:
	PREFETCHT0 (R11)(R13*1)
	VMOVDQU64  (R10)(R13*1), Z16
	VPSADBW    (SI)(R13*1), Z16, Z16
	VPADDQ     Z16, Z0, Z0
	ADDQ       $64, R13

onetest:
	CMPQ R13, R9
	JLT  one

	PREFETCHT0    (R11)(R13*1)
	VMOVDQU8.Z    (R10)(R13*1), K1, Z16
	VPSADBW       (SI)(R13*1), Z16, Z16
	VPADDQ        Z16, Z1, Z1
	VPADDQ        Z1, Z0, Z0
	VEXTRACTI64X4 $1, Z0, Y1
	VPADDQ        Y1, Y0, Y0
	VEXTRACTI128  $1, Y0, X1
	VPADDQ        X1, X0, X0
	L1FINISH
	ADDQ $4, DI
	ADDQ $4, DX
	ADDQ $4, BX
	DECQ R8
	JNZ  row
	VZEROUPPER
	RET

// l1tail<>+64-n is a mask of the first n of 64 bytes.
DATA l1tail<>+0(SB)/8, $-1
DATA l1tail<>+8(SB)/8, $-1
DATA l1tail<>+16(SB)/8, $-1
DATA l1tail<>+24(SB)/8, $-1
DATA l1tail<>+32(SB)/8, $-1
DATA l1tail<>+40(SB)/8, $-1
DATA l1tail<>+48(SB)/8, $-1
DATA l1tail<>+56(SB)/8, $-1
DATA l1tail<>+64(SB)/8, $0
DATA l1tail<>+72(SB)/8, $0
DATA l1tail<>+80(SB)/8, $0
DATA l1tail<>+88(SB)/8, $0
DATA l1tail<>+96(SB)/8, $0
DATA l1tail<>+104(SB)/8, $0
DATA l1tail<>+112(SB)/8, $0
DATA l1tail<>+120(SB)/8, $0
GLOBL l1tail<>(SB), RODATA|NOPTR, $128

// func l1CodeGatherAVX2(q *CodeQuery, c *Codes, numbers []uint32, out []float32)
TEXT ·l1CodeGatherAVX2(SB), NOSPLIT, $0-64
	LOAD
	LAST(R15)
	LEAQ    l1tail<>+64(SB), BX
	SUBQ    R15, BX
	VMOVDQU (BX), Y14
	VMOVDQU 32(BX), Y15
	LEAQ    -4(DX)(R8*4), BX
	SUBQ    $64, R9 // the last block is on its own

row:
	PLACE((DX), R10)
	LEAQ 8(DX), R15
	CMPQ R15, BX
	JLE  2(PC)
	MOVQ BX, R15
	PLACE((R15), R11)
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	XORQ R13, R13
	JMP  blocktest

block:
	PREFETCHT0 (R11)(R13*1)
	VMOVDQU    (R10)(R13*1), Y6
	VMOVDQU    32(R10)(R13*1), Y7
	VPSADBW    (SI)(R13*1), Y6, Y6
	VPSADBW    32(SI)(R13*1), Y7, Y7
	VPADDQ     Y6, Y0, Y0
	VPADDQ     Y7, Y1, Y1
	ADDQ       $64, R13

blocktest:
	CMPQ R13, R9
	JLT  block

	PREFETCHT0   (R11)(R13*1)
	VPAND        (R10)(R13*1), Y14, Y6
	VPAND        32(R10)(R13*1), Y15, Y7
	VPSADBW      (SI)(R13*1), Y6, Y6
	VPSADBW      32(SI)(R13*1), Y7, Y7
	VPADDQ       Y6, Y0, Y0
	VPADDQ       Y7, Y1, Y1
	VPADDQ       Y1, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDQ       X1, X0, X0
	L1FINISH
	ADDQ $4, DI
	ADDQ $4, DX
	DECQ R8
	JNZ  row
	VZEROUPPER
	RET

#include "go_asm.h"
#include "textflag.h"

// func Prefetch(p unsafe.Pointer, n int)
TEXT ·Prefetch(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX

line:
	PREFETCHT0 (SI)
	ADDQ       $64, SI
	SUBQ       $64, CX
	JGT        line
	RET

#include "gather_amd64.h"

// func codeGatherAVX512(q *CodeQuery, c *Codes, numbers []uint32, out []float32)
TEXT ·codeGatherAVX512(SB), NOSPLIT, $16-64
	LOAD

	// Rows to fetch ahead: AHEAD lines, at least two rows, at most all.
	MOVQ  R9, R15
	SHRQ  $6, R15
	MOVQ  $AHEAD, AX
	XORL  DX, DX
	DIVQ  R15
	INCQ  AX
	CMPQ  AX, R8
	JLE   2(PC)
	MOVQ  R8, AX
	MOVQ  AX, BX
	MOVQ  c+8(FP), R14
	MOVQ  Rows_Chunks(R14), AX
	MOVQ  numbers_base+16(FP), DX
	LEAQ  -4(DX)(R8*4), R15
	MOVQ  R15, last-8(SP)

	// Fetch them.
	XORQ R15, R15

first:
	MOVQ R15, R10
	TERMS((DX)(R10*4), R11)
	PREFETCHT0 (R11)
	MOVQ R10, R15
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

row:
	PLACE((DX), R10)
	CMPQ BX, last-8(SP)
	JLE  2(PC)
	MOVQ last-8(SP), BX
	TERMS((BX), R11)
	PREFETCHT0 (R11)
	PLACE((BX), R11)
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
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
	VPDPBUSD   (SI)(R13*1), Z16, Z0
	VPDPBUSD   64(SI)(R13*1), Z17, Z1
	VPDPBUSD   128(SI)(R13*1), Z18, Z2
	VPDPBUSD   192(SI)(R13*1), Z19, Z3
	ADDQ       $256, R13

fourtest:
	CMPQ R13, R15
	JLE  four
	JMP  onetest

one:
	PREFETCHT0 (R11)(R13*1)
	VMOVDQU64  (R10)(R13*1), Z16
	VPDPBUSD   (SI)(R13*1), Z16, Z0
	ADDQ       $64, R13

onetest:
	CMPQ R13, R9
	JLT  one

	VPADDD        Z1, Z0, Z0
	VPADDD        Z3, Z2, Z2
	VPADDD        Z2, Z0, Z0
	VEXTRACTI64X4 $1, Z0, Y1
	VPADDD        Y1, Y0, Y0
	VEXTRACTI128  $1, Y0, X1
	VPADDD        X1, X0, X0
	VPSHUFD       $0x4E, X0, X1
	VPADDD        X1, X0, X0
	VPSHUFD       $0xB1, X0, X1
	VPADDD        X1, X0, X0
	VMOVD         X0, R13
	FINISH(R13)
	ADDQ $4, DI
	ADDQ $4, DX
	ADDQ $4, BX
	DECQ R8
	JNZ  row
	VZEROUPPER
	RET

// func codeGatherAVX2(q *CodeQuery, c *Codes, numbers []uint32, out []float32)
//
// Products of bytes do not fit the sixteen bits that AVX2 would add them in,
// so both sides are widened first.
TEXT ·codeGatherAVX2(SB), NOSPLIT, $0-64
	LOAD
	LEAQ -4(DX)(R8*4), BX

row:
	PLACE((DX), R10)
	LEAQ 8(DX), R15
	CMPQ R15, BX
	JLE  2(PC)
	MOVQ BX, R15
	PLACE((R15), R11)
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	XORQ R13, R13

block:
	PREFETCHT0 (R11)(R13*1)
	VPMOVZXBW  (R10)(R13*1), Y6
	VPMOVZXBW  16(R10)(R13*1), Y7
	VPMOVZXBW  32(R10)(R13*1), Y8
	VPMOVZXBW  48(R10)(R13*1), Y9
	VPMOVSXBW  (SI)(R13*1), Y10
	VPMOVSXBW  16(SI)(R13*1), Y11
	VPMOVSXBW  32(SI)(R13*1), Y12
	VPMOVSXBW  48(SI)(R13*1), Y13
	VPMADDWD   Y10, Y6, Y6
	VPMADDWD   Y11, Y7, Y7
	VPMADDWD   Y12, Y8, Y8
	VPMADDWD   Y13, Y9, Y9
	VPADDD     Y6, Y0, Y0
	VPADDD     Y7, Y1, Y1
	VPADDD     Y8, Y2, Y2
	VPADDD     Y9, Y3, Y3
	ADDQ       $64, R13
	CMPQ       R13, R9
	JLT        block

	VPADDD       Y1, Y0, Y0
	VPADDD       Y3, Y2, Y2
	VPADDD       Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD       X1, X0, X0
	VPSHUFD      $0x4E, X0, X1
	VPADDD       X1, X0, X0
	VPSHUFD      $0xB1, X0, X1
	VPADDD       X1, X0, X0
	VMOVD        X0, R13
	FINISH(R13)
	ADDQ $4, DI
	ADDQ $4, DX
	DECQ R8
	JNZ  row
	VZEROUPPER
	RET

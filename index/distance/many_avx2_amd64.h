// The body of a one-to-many kernel for AVX2 and FMA: as in
// many_avx512_amd64.h, with eight values where there are sixteen and rows of
// 32 values where there are 64. The including file defines ACCUMULATE(at, q,
// t, sum) and loads
//
//	SI  query    CX  length of query and of each row
//	DI  rows     DX  out    R8  number of rows
//
//	R9   bytes of a row                       R13  offset in the row
//	R10, R11, R12  rows 1, 2, 3 of the four   Y15  mask of the last, partial eight
//	AX   bytes of the row in whole 32s        BX   bytes in whole 8s

	MOVQ    CX, R9
	SHLQ    $2, R9
	MOVQ    R9, AX
	ANDQ    $-128, AX
	MOVQ    R9, BX
	ANDQ    $-32, BX
	ANDQ    $7, CX
	MOVQ    CX, R13
	NEGQ    R13
	LEAQ    tail<>+32(SB), R10
	VMOVUPS (R10)(R13*4), Y15
	TESTQ   AX, AX
	JNZ     one

four:
	CMPQ   R8, $4
	JLT    one
	LEAQ   (DI)(R9*1), R10
	LEAQ   (DI)(R9*2), R11
	LEAQ   (R10)(R9*2), R12
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	XORQ   R13, R13
	JMP    four8test

four8:
	VMOVUPS (SI)(R13*1), Y4
	ACCUMULATE((DI)(R13*1), Y4, Y8, Y0)
	ACCUMULATE((R10)(R13*1), Y4, Y9, Y1)
	ACCUMULATE((R11)(R13*1), Y4, Y10, Y2)
	ACCUMULATE((R12)(R13*1), Y4, Y11, Y3)
	ADDQ    $32, R13

four8test:
	CMPQ  R13, BX
	JLT   four8
	TESTQ CX, CX
	JZ    foursum
	VMASKMOVPS (SI)(R13*1), Y15, Y4
	VMASKMOVPS (DI)(R13*1), Y15, Y8
	VMASKMOVPS (R10)(R13*1), Y15, Y9
	VMASKMOVPS (R11)(R13*1), Y15, Y10
	VMASKMOVPS (R12)(R13*1), Y15, Y11
	ACCUMULATE(Y8, Y4, Y8, Y0)
	ACCUMULATE(Y9, Y4, Y9, Y1)
	ACCUMULATE(Y10, Y4, Y10, Y2)
	ACCUMULATE(Y11, Y4, Y11, Y3)

foursum:
	HALVE(Y0, X0, X4)
	HALVE(Y1, X1, X5)
	HALVE(Y2, X2, X6)
	HALVE(Y3, X3, X7)
	VHADDPS X1, X0, X0
	VHADDPS X3, X2, X2
	VHADDPS X2, X0, X0
	VMOVUPS X0, (DX)
	ADDQ    $16, DX
	LEAQ    (DI)(R9*4), DI
	SUBQ    $4, R8
	JMP     four

one:
	TESTQ  R8, R8
	JZ     done
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	XORQ   R13, R13
	JMP    one32test

one32:
	PREFETCHT1 8192(DI)(R13*1)
	VMOVUPS    0(SI)(R13*1), Y4
	VMOVUPS    32(SI)(R13*1), Y5
	VMOVUPS    64(SI)(R13*1), Y6
	VMOVUPS    96(SI)(R13*1), Y7
	ACCUMULATE(0(DI)(R13*1), Y4, Y8, Y0)
	ACCUMULATE(32(DI)(R13*1), Y5, Y9, Y1)
	ACCUMULATE(64(DI)(R13*1), Y6, Y10, Y2)
	ACCUMULATE(96(DI)(R13*1), Y7, Y11, Y3)
	ADDQ       $128, R13

one32test:
	CMPQ R13, AX
	JLT  one32
	JMP  one8test

one8:
	VMOVUPS (SI)(R13*1), Y4
	ACCUMULATE((DI)(R13*1), Y4, Y8, Y0)
	ADDQ    $32, R13

one8test:
	CMPQ  R13, BX
	JLT   one8
	TESTQ CX, CX
	JZ    onesum
	VMASKMOVPS (SI)(R13*1), Y15, Y4
	VMASKMOVPS (DI)(R13*1), Y15, Y8
	ACCUMULATE(Y8, Y4, Y8, Y0)

onesum:
	VADDPS  Y1, Y0, Y0
	VADDPS  Y3, Y2, Y2
	VADDPS  Y2, Y0, Y0
	HALVE(Y0, X0, X4)
	VHADDPS X0, X0, X0
	VHADDPS X0, X0, X0
	VMOVSS  X0, (DX)
	ADDQ    $4, DX
	ADDQ    R9, DI
	DECQ    R8
	JMP     one

done:
	VZEROUPPER
	RET

// The body of a one-to-many kernel for AVX-512. The including file defines
// ACCUMULATE(at, q, t, sum), which adds sixteen values to sum and may use t,
// and loads
//
//	SI  query    CX  length of query and of each row
//	DI  rows     DX  out    R8  number of rows
//
// Rows shorter than 64 values are compared four at a time, so that adding up
// the sums is shared. Longer rows go one at a time, in four sums: a single
// stream of addresses is what memory serves best (four rows at a time reach
// 0.6 of it), and one prefetch for every fourth line, 8 KB ahead into the
// second level, carries the stream over the ends of pages, where the hardware
// stops. A row's sum is taken in one order on every path.
//
//	R9   bytes of a row                       R13  offset in the row
//	R10, R11, R12  rows 1, 2, 3 of the four   K1   mask of the last, partial sixteen
//	AX   bytes of the row in whole 64s        BX   bytes in whole 16s

	MOVQ  CX, R9
	SHLQ  $2, R9
	MOVQ  R9, AX
	ANDQ  $-256, AX
	MOVQ  R9, BX
	ANDQ  $-64, BX
	ANDQ  $15, CX
	MOVL  $1, R13
	SHLL  CX, R13
	DECL  R13
	KMOVW R13, K1
	TESTQ AX, AX
	JNZ   one

four:
	CMPQ   R8, $4
	JLT    one
	LEAQ   (DI)(R9*1), R10
	LEAQ   (DI)(R9*2), R11
	LEAQ   (R10)(R9*2), R12
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	XORQ   R13, R13
	JMP    four16test

four16:
	VMOVUPS (SI)(R13*1), Z16
	ACCUMULATE((DI)(R13*1), Z16, Z20, Z0)
	ACCUMULATE((R10)(R13*1), Z16, Z21, Z1)
	ACCUMULATE((R11)(R13*1), Z16, Z22, Z2)
	ACCUMULATE((R12)(R13*1), Z16, Z23, Z3)
	ADDQ    $64, R13

four16test:
	CMPQ  R13, BX
	JLT   four16
	TESTQ CX, CX
	JZ    foursum
	VMOVUPS.Z (SI)(R13*1), K1, Z16
	VMOVUPS.Z (DI)(R13*1), K1, Z20
	VMOVUPS.Z (R10)(R13*1), K1, Z21
	VMOVUPS.Z (R11)(R13*1), K1, Z22
	VMOVUPS.Z (R12)(R13*1), K1, Z23
	ACCUMULATE(Z20, Z16, Z20, Z0)
	ACCUMULATE(Z21, Z16, Z21, Z1)
	ACCUMULATE(Z22, Z16, Z22, Z2)
	ACCUMULATE(Z23, Z16, Z23, Z3)

foursum:
	HALVE(Z0, Y0, X0, Y4, X4)
	HALVE(Z1, Y1, X1, Y5, X5)
	HALVE(Z2, Y2, X2, Y6, X6)
	HALVE(Z3, Y3, X3, Y7, X7)
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
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	XORQ   R13, R13
	JMP    one64test

one64:
	PREFETCHT1 8192(DI)(R13*1)
	VMOVUPS    0(SI)(R13*1), Z16
	VMOVUPS    64(SI)(R13*1), Z17
	VMOVUPS    128(SI)(R13*1), Z18
	VMOVUPS    192(SI)(R13*1), Z19
	ACCUMULATE(0(DI)(R13*1), Z16, Z20, Z0)
	ACCUMULATE(64(DI)(R13*1), Z17, Z21, Z1)
	ACCUMULATE(128(DI)(R13*1), Z18, Z22, Z2)
	ACCUMULATE(192(DI)(R13*1), Z19, Z23, Z3)
	ADDQ       $256, R13

one64test:
	CMPQ R13, AX
	JLT  one64
	JMP  one16test

one16:
	VMOVUPS (SI)(R13*1), Z16
	ACCUMULATE((DI)(R13*1), Z16, Z20, Z0)
	ADDQ    $64, R13

one16test:
	CMPQ  R13, BX
	JLT   one16
	TESTQ CX, CX
	JZ    onesum
	VMOVUPS.Z (SI)(R13*1), K1, Z16
	VMOVUPS.Z (DI)(R13*1), K1, Z20
	ACCUMULATE(Z20, Z16, Z20, Z0)

onesum:
	SUM(Z0, Z1, Z2, Z3, Y0, X0, Y1, X1)
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

// The kernels for codes share their frame and its registers:
//
//	SI  values of the query      R9  bytes of them, whole blocks
//	DX  numbers of the rows      BX  number of the last row fetched ahead
//	DI  out                      R8  rows left
//	AX  table of chunks          R12 stride       CX  shift
//	R10 row                      R11 row fetched while this one is compared
//	R13 offset in the row        R14, R15 scratch
//
// Each file that includes this has the loops; the frame's names are those of
// codeGather's arguments.

#define LOAD \
	MOVQ q+0(FP), R14;                \
	MOVQ CodeQuery_Values(R14), SI;   \
	MOVQ CodeQuery_Values+8(R14), R9; \
	MOVQ c+8(FP), R14;                \
	MOVQ Rows_Chunks(R14), AX;        \
	MOVQ Rows_Shift(R14), CX;         \
	MOVQ Rows_Stride(R14), R12;       \
	MOVQ numbers_base+16(FP), DX;     \
	MOVQ numbers_len+24(FP), R8;      \
	MOVQ out_base+40(FP), DI

// AHEAD is the number of lines that are on their way before they are compared;
// how many rows that is depends on their length.
#define AHEAD 36

// PLACE(number, row): the row's address. Clobbers R14.
#define PLACE(number, row) \
	MOVL  number, R14;           \
	SHRXQ CX, R14, row;          \
	BZHIQ CX, R14, R14;          \
	IMULQ R12, R14;              \
	ADDQ  (AX)(row*8), R14;      \
	MOVQ  R14, row

// TERMS(number, at): the address of a row's terms. Clobbers R14 and R15.
#define TERMS(number, at) \
	MOVL  number, R15;               \
	SHRXQ CX, R15, at;               \
	BZHIQ CX, R15, R15;              \
	MOVQ  c+8(FP), R14;              \
	IMULQ Codes_TermStride(R14), R15;\
	ADDQ  (AX)(at*8), R15;           \
	ADDQ  Codes_Terms(R14), R15;     \
	MOVQ  R15, at

// FINISH(dot): dot is the dot product, DX at the row's number. Clobbers R10,
// R14 and R15.
#define FINISH(dot) \
	TERMS((DX), R10);                \
	MOVL      (R10), R15;            \
	CMPB      Codes_Twice(R14), $0;  \
	JEQ       2(PC);                 \
	SUBL      dot, R15;              \
	SUBL      dot, R15;              \
	MOVQ      q+0(FP), R14;          \
	ADDL      CodeQuery_Base(R14), R15; \
	VXORPS    X5, X5, X5;            \
	VCVTSI2SSL R15, X5, X5;          \
	VMOVSS    X5, (DI)

#!/usr/bin/env python3
"""tools/check_kernels.py reads what ptxas and the disassemblers print; no compiler is needed here."""

import contextlib
import io
import pathlib
import sys
import unittest
from unittest import mock

CHECKER = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_kernels.py"
sys.path.insert(0, str(CHECKER.parent))
import check_kernels  # noqa: E402

REPORT = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z5firstv' for 'sm_80'
ptxas info    : Function properties for _Z5firstv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 61 registers, used 1 barriers, 488 bytes cmem[0]
ptxas info    : Compile time = 33.823 ms
ptxas info    : Compiling entry function '_Z6secondv' for 'sm_80'
ptxas info    : Function properties for _Z6secondv
    16 bytes stack frame, 24 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 4096 bytes smem, 488 bytes cmem[0]
"""

PTX = """\
.visible .entry _Z5firstv(
	.param .u64 _Z5firstv_param_0
)
.maxntid 512, 1, 1
.minnctapersm 2
{
	ret;
}
.visible .entry _Z6secondv()
{
	ret;
}
"""

NVDISASM = """\
.text._Z9attentionv:
        /*0000*/                   LDGSTS.E.BYPASS.128 [R1], [R2.64] ;
.L_x_0:
        /*0010*/                   IADD3 R4, R4, 0x1, RZ ;
.L_x_1:
        /*0020*/                   LDSM.16.M88.4 R8, [R1] ;
        /*0030*/                   HMMA.16816.F32.BF16 R12, R8, R10, R12 ;
        /*0040*/              @!P0 MUFU.EX2 R4, R4 ;
        /*0050*/               @P1 BRA `(.L_x_1) ;
        /*0060*/                   FADD R5, R5, R4 ;
        /*0070*/               @P2 BRA `(.L_x_0) ;
        /*0080*/                   EXIT ;
.L_x_2:
        /*0090*/                   BRA `(.L_x_2);
"""


class CheckKernels(unittest.TestCase):
    def test_reads_registers_and_spills(self):
        first, second = check_kernels.parse_resources(REPORT).values()
        self.assertEqual((first.mangled, first.registers, first.static_smem, first.spill_stores), ("_Z5firstv", 61, 0, 0))
        self.assertEqual((second.registers, second.static_smem, second.stack), (255, 4096, 16))
        self.assertEqual((second.spill_stores, second.spill_loads), (24, 8))

    def test_names_what_is_wrong_with_a_kernel(self):
        first, second = check_kernels.parse_resources(REPORT).values()
        self.assertEqual(list(check_kernels.faults_of(first)), [])
        second.threads, second.min_blocks = 256, 2
        faults = list(check_kernels.faults_of(second))
        self.assertEqual(len(faults), 3)
        self.assertIn("spills 24 bytes of stores and 8 of loads", faults[0])
        self.assertIn("leaves room for 1 blocks of 256 threads; __launch_bounds__ asks for 2", faults[2])

    def test_reads_launch_bounds(self):
        self.assertEqual(check_kernels.parse_launch_bounds(PTX), {"_Z5firstv": (512, 2), "_Z6secondv": (0, 0)})

    def test_shortens_names(self):
        for name, short in [
            ("void virgil::cuda::(anonymous namespace)::x_kernel<__nv_bfloat16, (virgil::cuda::Owned)1, 8>(float*, A<int>)",
             "x_kernel<bf16, 1, 8>"),
            ("void a::_GLOBAL__N__1fe9d57f::y_kernel<__half, a::B<(int)256> >(a::C)", "y_kernel<fp16, B<256>>"),
            ("z_kernel()", "z_kernel"),
        ]:
            self.assertEqual(check_kernels.short_name(name), short)

    def test_counts_blocks_by_what_runs_out_first(self):
        def blocks(registers, threads, smem, capability):
            return check_kernels.Kernel("k", "k", registers, threads=threads, static_smem=smem).blocks(capability)

        self.assertEqual(blocks(32, 256, 0, 80), 8)  # threads
        self.assertEqual(blocks(64, 256, 0, 80), 4)  # registers
        self.assertEqual(blocks(33, 256, 0, 80), 6)  # 40 registers: they are given out by eight
        self.assertEqual(blocks(32, 128, 48 * 1024, 80), 3)  # shared memory, 1 KiB a block for the system
        self.assertEqual(blocks(32, 32, 0, 89), 24)  # blocks

    def test_finds_the_inner_loop(self):
        code, labels = check_kernels.parse_machine_code(NVDISASM)["_Z9attentionv"]
        self.assertEqual(len(code), 10)
        self.assertEqual(check_kernels.loops(code, labels), [(0x10, 0x70), (0x20, 0x50)])
        mix = check_kernels.instruction_mix(check_kernels.inner_loop(code, labels))
        self.assertEqual(mix, {"all": 4, "HMMA": 1, "LDSM": 1, "MUFU": 1, "other": 1})

    def test_reads_addresses_of_cuobjdump(self):
        text = NVDISASM.replace(".text._Z9attentionv:", "\t\tFunction : _Z9attentionv").replace("`(.L_x_1)", "0x20")
        text = text.replace("`(.L_x_0)", "0x10").replace("`(.L_x_2)", "0x90").replace(".L_x_", "//")
        text = text.replace(";", ";   /* 0x000000000000794d */")
        code, labels = check_kernels.parse_machine_code(text)["_Z9attentionv"]
        self.assertEqual(check_kernels.loops(code, labels), [(0x10, 0x70), (0x20, 0x50)])

    def test_wants_tensor_cores_only_in_their_attention(self):
        code, _ = check_kernels.parse_machine_code(NVDISASM)["_Z9attentionv"]
        name = "attention_forward_kernel<bf16, 64, 2, false>"
        self.assertEqual(list(check_kernels.code_faults(name, code)), [])
        self.assertEqual(len(list(check_kernels.code_faults(name, []))), 3)
        self.assertEqual(list(check_kernels.code_faults("attention_forward_simt_kernel<float, 1>", [])), [])
        local = check_kernels.Instruction(0, "LDL.64", "R2, [R1]")
        self.assertEqual(list(check_kernels.code_faults("x_kernel", [local])), ["has 1 instructions on local memory"])

    def test_skips_without_a_compiler(self):
        printed = io.StringIO()
        with (
            mock.patch.object(check_kernels.shutil, "which", return_value=None),
            mock.patch.object(sys, "argv", [str(CHECKER)]),
            contextlib.redirect_stdout(printed),
        ):
            self.assertEqual(check_kernels.main(), 77)
        self.assertIn("no nvcc", printed.getvalue())



if __name__ == "__main__":
    unittest.main()

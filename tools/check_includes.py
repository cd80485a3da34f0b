#!/usr/bin/env python3
"""Fails on a source that uses a name of the standard library without including its header.

    tools/check_includes.py [--root DIRECTORY] [--fix]

A source must name the headers of what it uses, or its own header must (x.cpp: the x.h that it includes first). Headers that reach it in
another way, through the standard library or through the project, are an accident: the next compiler's library brings others. --fix
adds what is missing to the first block of <...> includes.

Prints one line a violation: file:line: what is missing. Exit status 1 when there is any.
"""

import argparse
import pathlib
import re
import sys

FOLDERS = ("include", "src", "cuda", "mpi", "tools", "tests")
SUFFIXES = {".h", ".cpp", ".cu", ".in"}  # what an .inc holds is compiled where it is included

# Header: the names of namespace std, and of std::ranges, whose home it is.
NAMES = {
    "algorithm": """adjacent_find all_of any_of binary_search clamp copy copy_backward copy_if copy_n count count_if equal equal_range
        fill fill_n find find_first_of find_if find_if_not for_each generate generate_n includes is_sorted iter_swap
        lexicographical_compare lower_bound make_heap max max_element merge min min_element minmax minmax_element mismatch
        next_permutation none_of nth_element partial_sort partition partition_point pop_heap prev_permutation push_heap remove_copy
        remove_if replace replace_if reverse rotate search set_difference set_intersection set_union shuffle sort sort_heap
        stable_partition stable_sort swap_ranges transform unique upper_bound""",
    "array": "array to_array",
    "atomic": """atomic atomic_flag atomic_ref atomic_thread_fence memory_order memory_order_acq_rel memory_order_acquire
        memory_order_relaxed memory_order_release""",
    "barrier": "barrier",
    "bit": """bit_cast bit_ceil bit_floor bit_width countl_one countl_zero countr_one countr_zero endian has_single_bit popcount rotl
        rotr""",
    "bitset": "bitset",
    "cctype": "isalnum isalpha iscntrl isdigit isgraph islower isprint ispunct isspace isupper isxdigit tolower toupper",
    "charconv": "chars_format from_chars from_chars_result to_chars to_chars_result",
    "chrono": "chrono chrono_literals",
    "cmath": """acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma fmax fmin
        fmod fpclassify frexp hypot ilogb isfinite isinf isnan isnormal ldexp lgamma llrint llround log log10 log1p log2 logb lrint
        lround modf nan nearbyint nextafter pow remainder rint round scalbn signbit sin sinh sqrt tan tanh tgamma trunc""",
    "cstdlib": "_Exit abort abs aligned_alloc at_quick_exit atexit atof atoi atol atoll calloc exit free getenv malloc realloc strtod "
               "strtol strtoll strtoul strtoull system",
    "compare": "compare_three_way partial_ordering strong_ordering weak_ordering",
    "complex": "complex",
    "concepts": "convertible_to derived_from floating_point integral invocable same_as signed_integral unsigned_integral",
    "condition_variable": "condition_variable condition_variable_any cv_status",
    "csignal": "raise sig_atomic_t signal",
    "cstdarg": "va_list",
    "cstddef": "byte max_align_t nullptr_t ptrdiff_t size_t to_integer",
    "cstdint": """int16_t int32_t int64_t int8_t intmax_t intptr_t uint16_t uint32_t uint64_t uint8_t uintmax_t uintptr_t""",
    "cstdio": """FILE fclose fflush fgetc fgets fopen fprintf fputc fputs fread fscanf fseek ftell fwrite printf putchar puts rename
        rewind setvbuf snprintf sscanf tmpfile vfprintf vsnprintf""",
    "cstring": """memchr memcmp memcpy memmove memset strchr strcmp strerror strlen strncmp strncpy strrchr strstr strtok""",
    "ctime": "clock clock_t difftime gmtime localtime mktime strftime time time_t tm",
    "deque": "deque",
    "exception": """current_exception exception exception_ptr make_exception_ptr rethrow_exception rethrow_if_nested set_terminate
        terminate uncaught_exceptions""",
    "filesystem": "filesystem",
    "forward_list": "forward_list",
    "fstream": "filebuf fstream ifstream ofstream",
    "functional": """bind_front bit_and bit_or bit_xor cref divides equal_to function greater greater_equal identity invoke less
        less_equal logical_and logical_not logical_or minus mem_fn modulus multiplies negate not_equal_to not_fn plus ref
        reference_wrapper""",
    "future": "async future packaged_task promise shared_future",
    "initializer_list": "initializer_list",
    "iomanip": "quoted setfill setprecision setw",
    "ios": "boolalpha defaultfloat fixed hexfloat ios ios_base noskipws oct scientific streamoff streampos",
    "iostream": "cerr cin clog cout",
    "istream": "iostream istream ws",
    "iterator": """advance back_insert_iterator back_inserter bidirectional_iterator contiguous_iterator distance forward_iterator_tag
        front_inserter input_iterator_tag inserter istream_iterator istreambuf_iterator iterator_traits make_move_iterator
        make_reverse_iterator move_iterator next ostream_iterator ostreambuf_iterator prev random_access_iterator
        random_access_iterator_tag reverse_iterator""",
    "latch": "latch",
    "limits": "numeric_limits",
    "list": "list",
    "locale": "locale",
    "map": "map multimap",
    "memory": """addressof align allocator allocator_traits assume_aligned construct_at const_pointer_cast default_delete destroy_at
        dynamic_pointer_cast enable_shared_from_this make_shared make_unique pointer_traits shared_ptr static_pointer_cast to_address
        uninitialized_copy unique_ptr weak_ptr""",
    "memory_resource": "pmr",
    "mutex": """adopt_lock call_once defer_lock lock_guard mutex once_flag recursive_mutex scoped_lock timed_mutex try_to_lock
        unique_lock""",
    "new": "align_val_t bad_alloc bad_array_new_length launder nothrow nothrow_t set_new_handler",
    "numbers": "numbers",
    "numeric": "accumulate adjacent_difference exclusive_scan gcd inclusive_scan inner_product iota lcm midpoint partial_sum reduce "
               "transform_reduce",
    "optional": "bad_optional_access in_place make_optional nullopt nullopt_t optional",
    "ostream": "basic_ostream endl flush ostream",
    "queue": "priority_queue queue",
    "random": """bernoulli_distribution default_random_engine discrete_distribution exponential_distribution mt19937 mt19937_64
        normal_distribution random_device seed_seq uniform_int_distribution uniform_real_distribution""",
    "ranges": """bidirectional_range borrowed_range contiguous_range forward_range input_range iterator_t random_access_range range
        range_reference_t range_value_t sized_range sentinel_t subrange viewable_range view views""",
    "ratio": "giga kilo mega micro milli nano ratio",
    "regex": "cmatch regex regex_match regex_replace regex_search smatch sregex_iterator",
    "semaphore": "binary_semaphore counting_semaphore",
    "set": "multiset set",
    "shared_mutex": "shared_lock shared_mutex shared_timed_mutex",
    "source_location": "source_location",
    "span": "as_bytes as_writable_bytes dynamic_extent span",
    "sstream": "istringstream ostringstream stringbuf stringstream",
    "stack": "stack",
    "stdexcept": "domain_error invalid_argument length_error logic_error out_of_range overflow_error range_error runtime_error "
                 "underflow_error",
    "stop_token": "stop_callback stop_source stop_token",
    "streambuf": "streambuf",
    "string": """basic_string char_traits getline stod stof stoi stol stold stoll stoul stoull string string_literals to_string u16string
        u32string u8string wstring""",
    "string_view": "basic_string_view string_view string_view_literals u16string_view u32string_view u8string_view wstring_view",
    "system_error": "errc error_category error_code error_condition generic_category make_error_code system_category system_error",
    "thread": "jthread this_thread thread",
    "tuple": "apply forward_as_tuple ignore make_from_tuple make_tuple tie tuple tuple_cat tuple_element_t tuple_size_v",
    "type_traits": """add_const_t add_pointer_t bool_constant common_type_t conditional_t decay_t enable_if_t false_type
        integral_constant invoke_result_t is_arithmetic_v is_base_of_v is_const_v is_constructible_v is_convertible_v
        is_copy_assignable_v is_copy_constructible_v is_default_constructible_v is_empty_v is_enum_v is_floating_point_v is_function_v
        is_integral_v is_invocable_r_v is_invocable_v is_move_assignable_v is_move_constructible_v is_nothrow_constructible_v
        is_nothrow_default_constructible_v is_nothrow_destructible_v is_nothrow_move_assignable_v is_nothrow_move_constructible_v
        is_pointer_v is_polymorphic_v is_reference_v is_same is_same_v is_signed_v is_standard_layout_v is_trivially_copyable_v
        is_trivially_destructible_v is_unsigned_v is_void_v make_signed_t make_unsigned_t remove_const_t remove_cv_t remove_cvref_t
        remove_pointer_t remove_reference_t true_type type_identity type_identity_t underlying_type_t void_t""",
    "typeinfo": "bad_cast type_info",
    "typeindex": "type_index",
    "unordered_map": "unordered_map unordered_multimap",
    "unordered_set": "unordered_multiset unordered_set",
    "utility": """as_const cmp_equal cmp_greater cmp_greater_equal cmp_less cmp_less_equal cmp_not_equal declval exchange forward
        in_range index_sequence index_sequence_for integer_sequence make_index_sequence make_pair move move_if_noexcept pair
        piecewise_construct piecewise_construct_t swap""",
    "valarray": "valarray",
    "variant": "bad_variant_access get_if holds_alternative in_place_type monostate variant variant_alternative_t variant_size_v visit",
    "vector": "vector",
}
# Other headers that bring a name too, because the standard says so or because what they are for needs it.
ALSO = {
    "abs": {"cmath"},
    "fixed": {"fstream", "iomanip", "iostream", "istream", "ostream", "sstream"},
    "endl": {"iostream"},
    "errc": {"charconv"},
    "flush": {"iostream"},
    "getline": {"istream"},
    "greater": {"map", "queue", "set"},
    "hexfloat": {"fstream", "iomanip", "iostream", "istream", "ostream", "sstream"},
    "initializer_list": {"map", "set", "span", "string", "vector"},
    "ios": {"fstream", "iostream", "istream", "ostream", "sstream"},
    "istream": {"fstream", "iosfwd", "iostream", "sstream"},
    "less": {"map", "set"},
    "micro": {"chrono"},
    "milli": {"chrono"},
    "nano": {"chrono"},
    "ostream": {"fstream", "iosfwd", "iostream", "sstream"},
    "pair": {"map", "unordered_map"},
    "rename": {"filesystem"},
    "size_t": {"array", "cstdio", "cstdlib", "cstring", "deque", "map", "span", "string", "string_view", "vector"},
}
# What these are called with brings them: containers, views, variants, tuples, streams.
WITH_ARGUMENTS = {"begin", "cbegin", "cend", "crbegin", "crend", "data", "empty", "end", "erase", "erase_if", "get", "hash", "rbegin",
                  "remove", "rend", "size", "ssize", "streamsize", "literals", "ranges"}

# Macros, POSIX and libraries: a pattern, and the headers of which one must be there, the first of which --fix adds.
OTHERS = [
    (r"\bassert\(", ("cassert",)),
    (r"\b(?:errno|E(?:ACCES|AGAIN|BADF|EXIST|INTR|INVAL|IO|LOOP|NOENT|NOMEM|NOSPC|NOTDIR|PIPE|WOULDBLOCK))\b", ("cerrno",)),
    (r"\b(?:SIGINT|SIGTERM|SIGHUP|SIGUSR1|SIGPIPE|SIGBUS|SIG_DFL|SIG_IGN)\b", ("csignal", "signal.h")),
    (r"\b(?:stdin|stdout|stderr)\b", ("cstdio",)),
    (r"\b(?:CHAR_BIT|U?(?:INT|LONG|LLONG|SHRT|CHAR)_M(?:AX|IN))\b", ("climits",)),
    (r"\boffsetof\(", ("cstddef",)),
    (r"\bva_start\(", ("cstdarg",)),
    (r"\bEXIT_(?:SUCCESS|FAILURE)\b", ("cstdlib",)),
    (r"(?<![\w>])::(?:open|openat|fcntl|posix_fallocate|posix_fadvise)\(", ("fcntl.h",)),
    (r"(?<![\w>])::(?:read|write|pread|pwrite|close|dup2?|fsync|fdatasync|ftruncate|unlink|getpid|isatty|pipe|fork|_exit|lseek|sysconf|getuid"
     r"|geteuid|access|alarm)\(", ("unistd.h",)),
    (r"(?<![\w>])::(?:f?stat|lstat|f?chmod|mkdir|mkfifo|umask)\(", ("sys/stat.h",)),
    (r"(?<![\w>])::(?:mmap|munmap|madvise|mprotect)\(", ("sys/mman.h",)),
    (r"(?<![\w>])::flock\(", ("sys/file.h",)),
    (r"(?<![\w>])::waitpid\(", ("sys/wait.h",)),
    (r"(?<![\w>])::(?:kill|sigaction|sigemptyset|pthread_sigmask)\(", ("csignal", "signal.h")),
    (r"\bfmt::join\(", ("fmt/ranges.h",)),
    (r"\bfmt::", ("fmt/format.h", "fmt/ranges.h", "fmt/core.h", "fmt/chrono.h")),
    (r"\bnlohmann::", ("nlohmann/json.hpp", "nlohmann/json_fwd.hpp")),
    (r"\bCLI::", ("CLI/CLI.hpp",)),
]
OTHERS = [(re.compile(pattern), headers) for pattern, headers in OTHERS]

HOMES = {}
for header, names in NAMES.items():
    for name in names.split():
        HOMES.setdefault(name, []).append(header)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)
USE = re.compile(r"\bstd::(?:ranges::)?(\w+)")
# Raw strings, comments, strings and characters (not the mark between digits): none of them uses anything.
NOT_CODE = re.compile(
    r'R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"|//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|(?<![0-9A-Fa-f])\'(?:[^\'\\\n]|\\.)*\'', re.DOTALL
)


def code_of(text):
    """The text with comments and literals blanked, lines kept; includes are read before."""
    return NOT_CODE.sub(lambda match: " " + "\n" * match.group().count("\n"), text)


def own_header(path, text, root):
    """The header that belongs to a source or to its test, which must be its first include in quotes; None where there is none."""
    if path.suffix == ".h":
        return None
    stem = path.stem.removesuffix("_test")
    for mark, target in INCLUDE.findall(text):
        if mark == '"' and pathlib.PurePosixPath(target).stem in (stem, path.stem):
            for folder in (root / "include", root / "src", root, root / "tools", root / "tests", path.parent):
                if (folder / target).is_file():
                    return folder / target
    return None


def includes_of(path, text, root):
    found = {target for mark, target in INCLUDE.findall(text) if mark == "<"}
    header = own_header(path, text, root)
    if header:
        found |= {target for mark, target in INCLUDE.findall(header.read_text(encoding="utf-8")) if mark == "<"}
    return found


def needs_of(text):
    """(line number, name, headers of which one must be included) of every use; no headers where the name is not known here."""
    for number, line in enumerate(code_of(text).splitlines(), start=1):
        if line.lstrip().startswith("#"):
            continue
        for match in USE.finditer(line):
            name = match.group(1)
            if name not in WITH_ARGUMENTS:
                yield number, match.group(), [*HOMES.get(name, ()), *sorted(ALSO.get(name, ()))]
        for pattern, headers in OTHERS:
            match = pattern.search(line)
            if match:
                yield number, match.group(), list(headers)


def missing_in(path, root):
    """(line number, name, header) of the first use of each header that is missing."""
    text = path.read_text(encoding="utf-8")
    included = includes_of(path, text, root)
    told = set()
    for number, name, headers in needs_of(text):
        wanted = headers[0] if headers else name
        if wanted not in told and included.isdisjoint(headers):
            told.add(wanted)
            yield number, name, headers[0] if headers else None


def place_of_new_block(lines, is_library, path):
    """Where a first block of its kind goes: libraries' headers (x.h) before those of the standard, both behind the source's own."""
    blocks = [i for i, line in enumerate(lines) if line.startswith("#include <")]
    if blocks and is_library:
        return blocks[0]
    if blocks:
        end = blocks[0]
        while lines[end].startswith("#include <"):
            end += 1
        return end + 1
    first = next((i for i, line in enumerate(lines) if line.startswith("#include")), None)
    if first is None:
        return next(i for i, line in enumerate(lines) if not line or line.startswith("#pragma once")) + 1
    is_own = path.suffix != ".h" and not lines[first + 1].startswith("#include")
    return first + 2 if is_own else first


def add_includes(path, headers):
    """Adds each header to the first block of its kind, in the alphabet's order."""
    lines = path.read_text(encoding="utf-8").split("\n")
    for is_library in (False, True):
        new = {f"#include <{header}>" for header in headers if header.endswith(".h") == is_library}
        of_kind = [i for i, line in enumerate(lines) if re.match(r"#include <[^>]*\.h>" if is_library else r"#include <[^>]*(?<!\.h)>", line)]
        if new and of_kind:
            start = end = of_kind[0]
            while lines[end].startswith("#include <"):
                end += 1
            lines[start:end] = sorted(new.union(lines[start:end]))
        elif new:
            place = place_of_new_block(lines, is_library, path)
            before = [""] if lines[place - 1] else []
            behind = [""] if lines[place] else []
            lines[place:place] = [*before, *sorted(new), *behind]
    path.write_text("\n".join(lines), encoding="utf-8")


def sources(root):
    for folder in FOLDERS:
        yield from sorted(p for p in (root / folder).rglob("*") if p.suffix in SUFFIXES)
    yield from sorted(root.glob("*.cpp"))


def main():
    parser = argparse.ArgumentParser(description="Checks that every source includes the headers of what it uses.")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--fix", action="store_true", help="add what is missing")
    arguments = parser.parse_args()
    if not (arguments.root / "include").is_dir():
        sys.exit(f"{arguments.root}: no include/; name the project's folder with --root")
    status = 0
    for path in sources(arguments.root):
        missing = list(missing_in(path, arguments.root))
        for number, name, header in missing:
            what = f"{name} needs #include <{header}>" if header else f"{name} is in no row of NAMES in tools/check_includes.py: add it"
            print(f"{path.relative_to(arguments.root)}:{number}: {what}")
        status |= bool(missing)
        headers = {header for _, _, header in missing if header}
        if arguments.fix and headers:
            add_includes(path, headers)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())

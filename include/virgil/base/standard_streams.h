// Standard input, output and error of a program that was started without them.
#pragma once

namespace virgil {

/// Opens /dev/null in place of each standard stream that is closed (`train <&- >&- 2>&-`, some daemons). The system would give
/// its number to the next file that is opened, and what is printed would be written into a checkpoint. To be called first in
/// main().
void open_standard_streams() noexcept;

}  // namespace virgil

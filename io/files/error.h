#pragma once

#include <stdexcept>
#include <string>

namespace weft {

/// What a user can cause: a bad file, a wrong option, a full disk. Carries the thing, what is wrong
/// with it and the way out; `what()` is one line "'thing': cause; way out" without a newline.
/// Broken preconditions inside weft are bugs and use TORCH_CHECK instead. Thread-safe: yes.
class Error : public std::runtime_error {
  public:
    /// @param thing   path, option or name at fault, printed in quotes; may be empty
    /// @param cause   what is wrong, in words a user knows
    /// @param way_out what to do about it; may be empty
    Error(const std::string& thing, const std::string& cause, const std::string& way_out = {});
};

/// Wrong usage or a wrong plan (exit code 2); its text may list several problems, one a line.
class UsageError : public Error {
  public:
    using Error::Error;
};

/// The user asked to stop (exit code 130).
class Interrupted : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

}  // namespace weft

# drover_library / drover_binary / drover_test: the only ways to make a target.
include(GoogleTest OPTIONAL)

set(DROVER_WARNINGS -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers -Werror=return-type)
option(DROVER_WERROR "Warnings are errors" OFF)
if(DROVER_WERROR)
  list(APPEND DROVER_WARNINGS -Werror)
endif()

# Whether any of the libraries in ARGN stands on gRPC; of others' packages only the names are looked at.
function(_drover_uses_grpc out)
  set(${out} OFF PARENT_SCOPE)
  foreach(library ${ARGN})
    set(found OFF)
    if(library MATCHES "^gRPC::")
      set(found ON)
    elseif(TARGET ${library} AND library MATCHES "^drover_")
      get_target_property(below ${library} INTERFACE_LINK_LIBRARIES)
      if(below)
        _drover_uses_grpc(found ${below})
      endif()
    endif()
    if(found)
      set(${out} ON PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# Under ThreadSanitizer what stands on gRPC is left out of the build: its package is not instrumented.
function(_drover_leave_out out)
  _drover_uses_grpc(uses_grpc ${ARGN})
  if(uses_grpc AND DROVER_SANITIZE STREQUAL "thread")
    set(${out} EXCLUDE_FROM_ALL PARENT_SCOPE)
  else()
    set(${out} "" PARENT_SCOPE)
  endif()
endfunction()

function(_drover_common target)
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:C,CXX>:${DROVER_WARNINGS}>")
  if(DROVER_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${DROVER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${DROVER_SANITIZE})
  endif()
  if(DROVER_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# drover_library(NAME SOURCES a.cc b.cc DEPS drover_common absl::status)  -> target drover_NAME
function(drover_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  _drover_leave_out(left_out ${ARG_DEPS})
  add_library(drover_${name} STATIC ${left_out} ${ARG_SOURCES})
  target_link_libraries(drover_${name} PUBLIC ${ARG_DEPS})
  if("${ARG_SOURCES}" MATCHES "\\.cu(;|$)")
    set_property(GLOBAL APPEND PROPERTY DROVER_CUDA_LIBRARIES drover_${name})
  endif()
  _drover_common(drover_${name})
endfunction()

# drover_binary(NAME SOURCES main.cc DEPS ...)  -> executable bin/NAME
function(drover_binary name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  _drover_leave_out(left_out ${ARG_DEPS})
  add_executable(${name} ${left_out} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  if(DROVER_PACKS_RELOCATIONS)
    target_link_options(${name} PRIVATE LINKER:-z,pack-relative-relocs)
  endif()
  _drover_common(${name})
endfunction()

# drover_test(NAME SOURCES a_test.cc DEPS ... [LABELS long] [TIMEOUT s]): one ctest entry per binary, so that start-up cost
# is paid once; gtest names the cases. LABELS long: run by scripts/test --all only.
function(drover_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  _drover_leave_out(left_out ${ARG_DEPS})
  add_executable(${name} ${left_out} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_compile_definitions(${name} PRIVATE
    DROVER_SOURCE_DIR="${CMAKE_SOURCE_DIR}" DROVER_SHARED_DIR="${CMAKE_SOURCE_DIR}/../shared"
    DROVER_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
  _drover_common(${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(DROVER_SANITIZE)  # up to ten times slower
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 10")
  endif()
  if(left_out)
    return()
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()

# drover_embed(out SYMBOL file): in `out` the name of a generated source that defines `extern const std::string_view drover::SYMBOL`
# with the file's text.
function(drover_embed out symbol file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  file(READ ${file} text)
  string(CONFIGURE [[
// Generated from @file@.
#include <string_view>

namespace drover {
extern const std::string_view @symbol@;
const std::string_view @symbol@ = R"embedded(@text@)embedded";
}  // namespace drover
]] source @ONLY)
  file(CONFIGURE OUTPUT ${symbol}.cc CONTENT "${source}" @ONLY)
  set(${out} ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cc PARENT_SCOPE)
endfunction()

# cmake -DBUILD=DIR -DSOURCE=DIR -DCOMPILER=PROGRAM -P run.cmake: installs the build, runs the installed program from another
# folder, then builds and runs a small program that finds weft with find_package.
set(work ${BUILD}/package)
file(REMOVE_RECURSE ${work})
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${ARGN}: ${code}\n${out}")
  endif()
  set(out "${out}" PARENT_SCOPE)
endfunction()
function(expect text)
  if(NOT out MATCHES "${text}")
    message(FATAL_ERROR "expected '${text}', got:\n${out}")
  endif()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/installed)
file(RENAME ${work}/installed ${work}/moved)
run(${CMAKE_COMMAND} -E chdir / ${work}/moved/bin/weft doctor)
expect("path: ${work}/moved/share/weft/models/starter")

run(${CMAKE_COMMAND} -G Ninja -S ${SOURCE}/tests/package -B ${work}/user -DCMAKE_PREFIX_PATH=${work}/moved
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=Debug)
run(${CMAKE_COMMAND} --build ${work}/user)
run(${work}/user/user ${SOURCE}/samples/clip.mp4 ${work}/moved/share/weft/models/starter)
expect("^512x288 starter")
file(REMOVE_RECURSE ${work})

# What the programs of this folder need in their environment; sourced by those of bin/ with `here` set to the folder.
# DROVER_CUDA_LIBS (folders, with : between them) says where cuBLASLt and NCCL lie if not in lib/nvidia or in a usual place.
if [ "${DROVER_BUNDLE:-}" != "$here" ]; then
  export DROVER_BUNDLE="$here" PATH="$here/libexec:${PATH:-/usr/bin:/bin}"
  LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}:$here/lib/nvidia${DROVER_CUDA_LIBS:+:$DROVER_CUDA_LIBS}
  python=$(command -v python3 || :)
  for folder in /usr/local/cuda/lib64 "${python%/bin/python3}"/lib/python3*/*-packages/nvidia/*/lib /usr/local/lib/python3*/*-packages/nvidia/*/lib; do
    for library in "$folder"/libcublasLt.so.* "$folder"/libnccl.so.* "$folder"/libnvrtc.so.*; do
      if [ -e "$library" ]; then LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$folder; break; fi
    done
  done
  export LD_LIBRARY_PATH
  # The system's C++ library where it is new enough: what the driver loads may need a newer one than ours.
  "$here/libexec/drover" --version > /dev/null 2>&1 || LD_LIBRARY_PATH=$here/lib/cxx:$LD_LIBRARY_PATH
  export HOME="${HOME:-/}"  # Open MPI's PMIx crashes where neither it nor a passwd entry names one
  export OPAL_PREFIX="$here" OPAL_BINDIR="$here/libexec" OPAL_LIBDIR="$here/lib" OPAL_PKGLIBDIR="$here/lib/openmpi" \
    OPAL_PKGDATADIR="$here/share/openmpi" OPAL_SYSCONFDIR="$here/etc"
  export PMIX_PREFIX="$here" PMIX_LIBDIR="$here/lib" PMIX_PKGLIBDIR="$here/lib/pmix" PMIX_PKGDATADIR="$here/share/pmix" PMIX_SYSCONFDIR="$here/etc"
fi

